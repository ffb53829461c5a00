"""The six-class dataset on the Hub, as parquet with a card, so that training can name it by id.

`train_hub.py prepare` calls `publish` with the splits of `data.load`; `data.load(repo_id)` returns
the same splits, order and clean marks. Knows no model.
"""

from collections import Counter

import datasets
from huggingface_hub import DatasetCard, HfApi

from emotion_detective import LABELS
from emotion_detective.core.hub import check_hub_id
from emotion_detective.evaluation.plots import table
from emotion_detective.publish.push import explain_refusals, make_repo

TEXT = """\
# Six facial expressions

Made from {source} by Emotion Detective's `train_hub.py prepare`: {labels}; a class *disgusted* is
left out.

{table}

Columns: `image`; `label`; `file`, the path in the source; `clean`, false for an image of validation
or test that has an exact duplicate in another split of the source. Images of train that have one in
validation or test are dropped, and so are those of validation that have one in test.

```
python train_hub.py train --data {repo_id} --output runs/first
```

## Where the images come from

The maker of this repository took them from {source}. If that is Kaggle's
`ananthu017/emotion-detection-fer`, they are FER2013 (Goodfellow et al. 2013, arXiv 1307.0414):
48x48 gray faces found by web search, labelled by search term and corrected by hand; validation is
its PublicTest, test its PrivateTest. FER2013 has no licence that its rights holders gave: mirrors
disagree (DbCL, Apache-2.0, MIT, CC BY-NC), and the people in the pictures were not asked. Use it
for research, and clear the rights before anything else. Labels are noisy: human agreement with
them is 65 +/- 5%.
"""


def publish(parts: datasets.DatasetDict, source: str, repo_id: str, private: bool = False) -> str:
    """Upload the splits and a card to the Hub dataset `repo_id` and return its address."""
    check_hub_id(repo_id)
    with explain_refusals(repo_id):
        url = make_repo(HfApi(), repo_id, private, repo_type="dataset")
        parts.push_to_hub(repo_id, private=private, commit_message="Publish the splits")
        card = DatasetCard.load(repo_id)  # with what `datasets` says of columns and files
        card.data.license = "unknown"  # the card says why
        card.data.task_categories = ["image-classification"]
        card.data.pretty_name = "Six facial expressions"
        card.text = card_text(parts, source, repo_id)
        card.push_to_hub(repo_id, commit_message="Describe the splits")
        return url


def card_text(parts: datasets.DatasetDict, source: str, repo_id: str) -> str:
    """Return the card below its front matter, with the counts of `parts`."""
    rows = []
    for split, part in parts.items():
        counts = Counter(part["label"])
        cells = [*(counts[i] for i in range(len(LABELS))), len(part), sum(part["clean"])]
        rows.append([split, *(f"{cell:,}" for cell in cells)])
    return TEXT.format(
        source=source,
        repo_id=repo_id,
        labels=", ".join(LABELS),
        table=table(["split", *LABELS, "all", "in no other split"], rows),
    )
