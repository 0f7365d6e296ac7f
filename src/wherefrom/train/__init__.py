"""The loops: pre-train, embed, and fine-tune few-shot with all seeds at once."""
