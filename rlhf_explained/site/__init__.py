"""Floor 6: what MkDocs calls. Markdown extensions carry the presentation; hooks are few."""
