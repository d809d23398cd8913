"""The families of the pocket world's episodes, a file each."""
