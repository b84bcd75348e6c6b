"""``completion``: a script that teaches a shell to complete our command lines."""

from __future__ import annotations

from casemate.cli.failure import Exit
from casemate.cli.options import Command
from casemate.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

# Each script asks `casemate __complete -- WORDS…` and gets a line for each candidate, with what it
# is behind a tab, and a last line that says what else may stand there: `:files` or `:`.
_BASH = r"""# bash completion for casemate
_casemate() {
    local line current prefix last= IFS=$'\n'
    local -a words
    COMPREPLY=()
    # bash breaks words at = and : too; the command wants them whole.
    IFS=$' \t\n' read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    while read -r line; do
        case $line in
            :*) last=$line ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    current=${words[${#words[@]}-1]}
    if [[ $last == :files ]]; then
        COMPREPLY+=($(compgen -f -- "${current#*=}"))
        compopt -o filenames 2>/dev/null
    fi
    # What is before such a break stands on the line already.
    prefix=${current%"${current##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
}
complete -F _casemate casemate
"""
_ZSH = r"""#compdef casemate
_casemate() {
    local line last
    local -a found
    while IFS= read -r line; do
        case $line in
            :*) last=$line ;;
            *) found+=("${${${line//\\/\\\\}//:/\\:}/$'\t'/:}") ;;
        esac
    done < <($words[1] __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe casemate found
    [[ $last == :files ]] && _files
}
if [[ $funcstack[1] == _casemate ]]; then _casemate "$@"; else compdef _casemate casemate; fi
"""
_FISH = r"""# fish completion for casemate
function __casemate_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (command $words[1] __complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c casemate -f -a '(__casemate_complete)'
"""
_SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}


def _run(session: Session, arguments: Arguments) -> int:
    shell = arguments.rest[0]
    if shell not in _SCRIPTS:
        raise Exit(1, f"no completion for {shell!r}: it must be one of {', '.join(_SCRIPTS)}")
    out(_SCRIPTS[shell])
    return 0


COMMAND = Command(
    "bash|zsh|fish",
    _run,
    least=1,
    most=1,
    about="Print the completion script for a shell.",
    examples=(
        "source <(casemate completion bash)",
        "casemate completion zsh > ${fpath[1]}/_casemate",
        "casemate completion fish > ~/.config/fish/completions/casemate.fish",
    ),
    suggest="bash fish zsh",
    suggest_up_to=1,
)
