"""What Streamlit runs for each visitor, again and again: the app with the launcher's settings."""

from attention_studio.app.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
