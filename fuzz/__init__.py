"""Programs that feed the readers of outside bytes with what libFuzzer grows: ``make fuzz``."""
