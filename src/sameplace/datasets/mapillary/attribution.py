"""Whom the images are owed to, as the licence and Mapillary's terms want it said."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from sameplace.datasets.mapillary.image import LICENCE, profile

HEADING = "# Images from Mapillary"
UNNAMED = "contributors whom Mapillary does not name"


def attribution(rows: Sequence[Mapping[str, str]]) -> str:
    """A page in Markdown that names the licence and every contributor.

    The licence is what Mapillary's help centre says (help.mapillary.com/hc/en-us/articles/115001770409), the duties are those of
    its terms of use, section 11, and of the licence itself.
    """
    counts = Counter(row.get("creator", "") for row in rows)
    named = sorted((creator for creator in counts if creator), key=str.lower)
    lines = [f"| [{_plain(creator)}]({profile(creator)}) | {counts[creator]:,} |" for creator in named]
    if counts[""]:
        lines.append(f"| {UNNAMED} | {counts['']:,} |")
    return "\n".join(
        [
            HEADING,
            "",
            "The pictures in `images/` come from [Mapillary](https://www.mapillary.com/), where all images are shared under",
            f"the licence [{LICENCE}](https://creativecommons.org/licenses/by-sa/4.0/). They are by these contributors:",
            "",
            "| contributor | images |",
            "|---|---:|",
            *lines,
            "",
            "Each row of `positions.csv` names the contributor of a picture (`creator`), its licence and its page (`link`).",
            "The pictures are as Mapillary gave them; nothing was changed.",
            "",
            "Who shows a picture or passes it on names its contributor and the licence, and links to its page; Mapillary's",
            "[terms of use](https://www.mapillary.com/terms) (section 11) also ask for its logo. Who changes a picture says so,",
            "and passes it on under the same licence. For example, with links to the picture's page and to the licence:",
            f'"Photo from Mapillary by USERNAME, {LICENCE}".',
            "Faces and number plates that Mapillary has blurred stay blurred.",
            "",
        ]
    )


def _plain(name: str) -> str:
    r"""A name that means nothing to Markdown.

    >>> _plain("a_b|c")
    'a\\_b\\|c'
    """
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~])", r"\\\1", name)
