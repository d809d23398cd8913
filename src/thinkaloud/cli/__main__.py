"""`python -m thinkaloud.cli`: the same command where the installed script is not on the path."""

from thinkaloud.cli import main

raise SystemExit(main())
