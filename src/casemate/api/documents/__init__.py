"""What the API says of the engine's values: functions from records to documents."""
