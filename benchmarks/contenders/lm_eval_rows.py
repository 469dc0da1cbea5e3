"""lm_eval's own tasks on local rows: its log-probabilities and metrics, as JSON.

Runs in lm_eval's own environment: python lm_eval_rows.py JOB.json OUT.json. The job names the
model's folder, the rows of each task by split, the shots and the form.
"""

import json
import sys
from pathlib import Path

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

OWN = Path(lm_eval.__file__).parent / "tasks"
# Our name: its task's file, and the number of shots
TASKS = {
    "mmlu": ("mmlu/default/mmlu_astronomy.yaml", 5),
    "ceval": ("ceval/ceval-valid_accountant.yaml", 5),
    "cmmlu": ("cmmlu/cmmlu_agronomy.yaml", 5),
    "arc_easy": ("arc/arc_easy.yaml", 2),
    "hellaswag": ("hellaswag/hellaswag.yaml", 2),
    "piqa": ("piqa/piqa.yaml", 0),
    "winogrande": ("winogrande/default.yaml", 2),
    "boolq": ("super_glue/boolq/default.yaml", 0),
    "race": ("race/race.yaml", 0),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", 0),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", 0),
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    folder = Path(sys.argv[2]).parent / "yaml"
    folder.mkdir(exist_ok=True)
    names = []
    for name, (own, shots) in TASKS.items():
        files = job["rows"][name.partition("_mc")[0]]
        lines = [
            f"include: {OWN / own}",
            f"task: ours_{name}",
            "dataset_path: json",
            "dataset_name: null",
            f"dataset_kwargs: {json.dumps({'data_files': files})}",
            f"num_fewshot: {shots}",
            "fewshot_config: {sampler: first_n}",
            "tag: null",
        ]
        if "train" not in files:
            lines.append("training_split: null")
        if name not in ("mmlu", "ceval", "cmmlu") and "test" in files:
            lines.append("validation_split: " + ("validation" if "validation" in files else "null"))
        (folder / f"ours_{name}.yaml").write_text("\n".join(lines) + "\n")
        names.append(f"ours_{name}")
    (folder / "ours_perplexity.yaml").write_text(
        "task: ours_perplexity\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {json.dumps({'data_files': job['rows']['perplexity']})}\n"
        "test_split: test\noutput_type: loglikelihood_rolling\n"
        'doc_to_text: ""\ndoc_to_target: "{{text}}"\n'
        "metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]\n"
    )
    if job["form"] == "completion":
        names.append("ours_perplexity")
    model = HFLM(
        pretrained=job["model"],
        dtype="float32",
        device="cpu",
        batch_size=4,
        max_length=job["max_length"],
    )
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=names,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=job["form"] == "chat",
        fewshot_as_multiturn=job["form"] == "chat",
    )
    items = {
        name.removeprefix("ours_"): [
            {
                "log_probs": [
                    one[0] if isinstance(one, list | tuple) else one
                    for one in sample["filtered_resps"]
                ],
                **{key: sample[key] for key in ("acc", "acc_norm") if key in sample},
            }
            for sample in sorted(samples, key=lambda sample: sample["doc_id"])
        ]
        for name, samples in found["samples"].items()
    }
    means = {
        name.removeprefix("ours_"): {
            key.removesuffix(",none"): value
            for key, value in result.items()
            if key.endswith(",none") and "stderr" not in key
        }
        for name, result in found["results"].items()
    }
    Path(sys.argv[2]).write_text(json.dumps({"items": items, "means": means}))


if __name__ == "__main__":
    main()
