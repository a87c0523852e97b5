"""An exported model describes images without torch."""
