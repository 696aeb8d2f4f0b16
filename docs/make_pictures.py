"""Make the pictures of the README, from photos that scikit-image carries: python docs/make_pictures.py [PRESET]."""

from __future__ import annotations

import sys
from pathlib import Path

import skimage

import singan_toolkit as st
from singan_toolkit.imaging.pictures import write_picture
from singan_toolkit.imaging.sheet import contact_sheet

HERE = Path(__file__).parent
PHOTOS = Path(skimage.__file__).parent / "data"


def bundle_of(photo: str, preset: str) -> st.Bundle:
    """The photo's bundle, trained unless it lies in docs/bundles already."""
    path = HERE / "bundles" / f"{Path(photo).stem}-{preset}.sgb"
    if not path.exists():
        st.train(PHOTOS / photo, preset=preset).save(path)
    return st.load(path)


def main() -> None:
    """One sheet: a row of training picture and samples for each of two photos."""
    preset = sys.argv[1] if len(sys.argv) > 1 else "fast"
    pictures, labels = [], []
    for photo in ("rocket.jpg", "hubble_deep_field.jpg"):
        bundle = bundle_of(photo, preset)
        pictures.append(st.Picture(bundle.picture))
        labels.append(f"{photo}: the one training picture")
        for result in st.run(bundle, "generate", count=2, seed=1).results:
            pictures.append(result.picture)
            labels.append(f"generated, seed {result.label}")
    write_picture(contact_sheet(pictures, labels, columns=3, cell=250), HERE / "pictures" / "samples.png")


if __name__ == "__main__":
    main()
