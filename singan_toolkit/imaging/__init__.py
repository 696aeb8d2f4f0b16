"""Reading and writing pictures, masks, pasting, compositing, contact sheets. No task and no network is known here."""
