"""The style of our pages: the report, the hits of a search, and the page of `stellar explore`."""

from importlib.resources import files


def style_of(package: str) -> str:
    """What all pages share, and a package's own `page.css`."""
    own = files(package).joinpath("page.css").read_text(encoding="utf-8")
    return files("stellar").joinpath("styles.css").read_text(encoding="utf-8") + own
