"""The services of Modelgate as one package of site-packages, where names like `contract` and `gateway` cannot lie.

Its processes import the rooms by the names that they have in the repository, from `HOUSE`.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
HOUSE = _HERE if (_HERE / "contract").is_dir() else _HERE.parent
"""The folder with the rooms: this package where it is installed, else the checkout."""
