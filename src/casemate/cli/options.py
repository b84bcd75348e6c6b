"""What a command takes, as data: the one table behind parsing, ``--help`` and shell completion."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

#: A kind is how an option's value is called in ``--help``. These three are read by the parser
#: itself; every other kind is text, checked where it is used.
SWITCH = ""
INT = "int"
LIST = "list"
#: Kinds that may be given more than once; the last one of the others wins.
REPEATED = frozenset({LIST, "map", "filter", "ulimit", "mount", "network", "gpu-request"})


class Option:
    """One option: ``--name``, perhaps ``-s``. ``suggest`` says what completes its value.

    ``default`` is what the command gets when it is not given. ``aliases`` are other spellings,
    accepted and not shown; a ``hidden`` option is not shown either. ``replaced_by`` names the
    option that a deprecated one is for.
    """

    __slots__ = ("aliases", "default", "help", "hidden", "kind", "name", "replaced_by", "short",
                 "suggest")  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: str,
        help: str,
        *,
        short: str = "",
        default: str | int | bool | None = None,
        aliases: tuple[str, ...] = (),
        hidden: bool = False,
        replaced_by: str = "",
        suggest: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.short = short
        self.default = default
        self.aliases = aliases
        self.hidden = hidden
        self.replaced_by = replaced_by
        self.suggest = suggest

    @property
    def spelling(self) -> str:
        """The option as messages name it: ``-m, --memory``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Command:
    """One command. ``usage`` is what follows its name; ``run`` returns its exit status.

    ``least`` and ``most`` count the arguments. With ``mixed`` options may follow arguments.
    ``suggest`` says what completes the arguments, up to ``suggest_up_to`` of them.
    """

    __slots__ = ("about", "examples", "least", "mixed", "most", "options", "run", "suggest",
                 "suggest_up_to", "usage")  # fmt: skip

    def __init__(
        self,
        usage: str,
        run: Callable[[Session, Arguments], int],
        options: Sequence[Option] = (),
        *,
        least: int = 0,
        most: int | None = None,
        mixed: bool = True,
        about: str = "",
        examples: tuple[str, ...] = (),
        suggest: str = "",
        suggest_up_to: int | None = None,
    ) -> None:
        self.usage = usage
        self.run = run
        self.options = options
        self.least = least
        self.most = most
        self.mixed = mixed
        self.about = about
        self.examples = examples
        self.suggest = suggest
        self.suggest_up_to = suggest_up_to


HELP = Option("help", SWITCH, "Print usage", hidden=True)

FORMAT = Option(
    "format",
    "string",
    "Format output using a custom template:\n"
    "'table':            a table with column headers (default)\n"
    "'table TEMPLATE':   a table of the given Go template's columns\n"
    "'json':             one JSON document for each line\n"
    "'TEMPLATE':         the given Go template",
)
FORMAT_ONE = Option(
    "format",
    "string",
    "Format output using a custom template:\n"
    "'json':             as JSON on one line\n"
    "'TEMPLATE':         the given Go template",
    short="f",
)
PLATFORM = Option("platform", "string", "Platform of a multi-platform image, such as linux/arm64")
