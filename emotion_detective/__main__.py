"""The command `emotion-detective`: the faces in pictures, the page, and all that train_hub.py does.

emotion-detective photo.jpg holiday/*.jpg   # a row a face; --json and --csv for programs
emotion-detective page                      # as python app.py
emotion-detective train --data SRC ...      # as python train_hub.py train, and its others
"""

import argparse
import json
import runpy
import sys
from importlib.util import find_spec

from emotion_detective import EMBEDDED, HOME

# The commands of train_hub.py, which is read only for one of them: it needs more packages.
TRAINING = (
    *("find-lr", "train", "compare", "evaluate", "push", "prepare", "join-votes"),
    *("deploy-space", "analyze", "export"),
)


def main() -> int:
    """Run the command; return the exit status, 2 where a picture could not be read."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "page":
        return _run("app.py", extra="page", needs="gradio")
    if command in TRAINING:
        return _run("train_hub.py", extra="training", needs="datasets", keep=command)
    parser = argparse.ArgumentParser(
        prog="emotion-detective",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    parser.add_argument("--model", default=EMBEDDED, metavar="DIR_OR_REPO")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the rows as JSON")
    form.add_argument("--csv", action="store_true", help="print the rows as CSV")
    return _print_rows(parser.parse_args())


def _run(file: str, extra: str, needs: str, keep: str = "") -> int:
    """Run a program of HOME with the rest of the command line, as if it were called by its name."""
    if find_spec(needs) is None:
        print(f'This needs more packages: pip install "emotion-detective[{extra}]".')
        return 2
    sys.argv = [str(HOME / file), *filter(None, [keep]), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


def _print_rows(options: argparse.Namespace) -> int:
    from emotion_detective.core.detective import EmotionDetective
    from emotion_detective.core.rows import analyzed_rows, to_csv

    rows = []
    try:
        detective = EmotionDetective.from_pretrained(options.model)
    except ValueError as error:
        sys.exit(str(error))
    for one in detective.analyze_many(options.pictures):
        rows += analyzed_rows(one.source, one)
    if options.json:
        print(json.dumps(rows, indent=2))
    elif options.csv:
        print(to_csv(rows), end="")
    else:
        for row in rows:
            found = f"{row['label']} {row['confidence']:.0%}" if row["face"] else row["reason"]
            print(row["file"], row["face"] or "-", found or "no face", sep="\t")
    return 2 if any(row["status"] == "unreadable" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
