"""Make the picture of the README from a photo that scikit-image carries: python docs/make_pictures.py [PRESET]."""

from __future__ import annotations

import sys
from pathlib import Path

import skimage

import singan_toolkit as st
from singan_toolkit.imaging.pictures import write_picture
from singan_toolkit.imaging.sheet import contact_sheet

HERE = Path(__file__).parent
PHOTO = Path(skimage.__file__).parent / "data" / "rocket.jpg"


def bundle_of(photo: Path, preset: str) -> st.Bundle:
    """The photo's bundle, trained unless it lies in docs/bundles already."""
    path = HERE / "bundles" / f"{photo.stem}-{preset}.sgb"
    if not path.exists():
        st.train(photo, preset=preset).save(path)
    return st.load(path)


def main() -> None:
    """One sheet: the training picture and samples of it."""
    bundle = bundle_of(PHOTO, sys.argv[1] if len(sys.argv) > 1 else "fast")
    pictures, labels = [st.Picture(bundle.picture)], ["the one training picture"]
    for result in st.run(bundle, "generate", count=4).results:
        pictures.append(result.picture)
        labels.append(f"generated, seed {result.label}")
    wide = st.run(bundle, "generate", width=400, height=bundle.picture.shape[0])
    pictures.append(wide.results[0].picture)
    labels.append("generated, wider")
    write_picture(contact_sheet(pictures, labels, columns=3, cell=250), HERE / "pictures" / "samples.png")


if __name__ == "__main__":
    main()
