"use strict";
// Shows the items that are looked for, a few at a time. All that is shown is text, never markup.
(() => {
  const data = JSON.parse(document.getElementById("items").textContent);
  const [TASK, GROUP, WHERE, QUESTION, OPTIONS, EXPECTED, AFTER, BEFORE] = [0, 1, 2, 3, 4, 5, 6, 7];
  const [VALUE, GOT, SAID, SILENT, TIE] = [0, 1, 2, 3, 4];
  const STEP = 50;
  const paired = data.rows.some((row) => row[BEFORE]);
  const at = (id) => document.getElementById(id);
  const node = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const fill = (list, choices) => {
    list.replaceChildren(...choices.map(([value, text]) => {
      const option = node("option", text);
      option.value = value;
      return option;
    }));
  };
  const right = (side) => side[VALUE] !== null && side[VALUE] >= 1;
  const gain = (row) => {
    if (!row[BEFORE] || row[AFTER][VALUE] === null || row[BEFORE][VALUE] === null) return 0;
    const change = Math.sign(row[AFTER][VALUE] - row[BEFORE][VALUE]);
    return data.tasks[row[TASK]].lower ? -change : change;
  };
  const VERDICTS = {
    all: ["all answers", () => true],
    wrong: ["wrong", (row) => !right(row[AFTER])],
    right: ["right", (row) => right(row[AFTER])],
    lost: ["lost: right before, wrong after", (row) => gain(row) < 0],
    gained: ["gained: wrong before, right after", (row) => gain(row) > 0],
    silent: ["unanswered", (row) => row[AFTER][SILENT]],
    ties: ["near-ties", (row) => row[AFTER][TIE]],
  };
  const text = (row) => [row[QUESTION], row[EXPECTED], row[WHERE], ...row[OPTIONS], row[AFTER][GOT],
    row[AFTER][SAID], ...(row[BEFORE] ? [row[BEFORE][GOT], row[BEFORE][SAID]] : [])].join("\n").toLowerCase();
  let found = [];
  let shown = 0;

  const line = (list, name, value, kind) => {
    list.append(node("dt", name));
    list.append(value.trim() ? node("dd", value, kind) : node("dd", "(nothing)", `soft ${kind || ""}`));
  };
  const answer = (list, name, side) => {
    const verdict = right(side) ? "right" : "wrong";
    const number = side[VALUE] !== null && side[VALUE] % 1 !== 0 ? `${side[VALUE].toPrecision(4)}  ` : "";
    line(list, name, number + side[GOT] + (side[SILENT] ? "  (no answer could be read)" : ""), verdict);
    if (side[SAID]) line(list, "", side[SAID], "soft");
  };
  const article = (row) => {
    const made = node("article", undefined, right(row[AFTER]) ? "right" : "wrong");
    const head = node("header");
    head.append(node("strong", row[QUESTION]));
    const place = [data.tasks.length > 1 ? data.tasks[row[TASK]].name : "", row[GROUP], row[WHERE]];
    head.append(node("span", place.filter(Boolean).join(" · "), "soft"));
    const list = node("dl");
    row[OPTIONS].forEach((option, index) => line(list, String.fromCharCode(65 + index), option));
    line(list, "expected", row[EXPECTED]);
    if (row[BEFORE]) answer(list, "before", row[BEFORE]);
    answer(list, row[BEFORE] ? "after" : "got", row[AFTER]);
    made.append(head, list);
    return made;
  };
  const more = () => {
    const next = found.slice(shown, shown + STEP);
    at("list").append(...next.map(article));
    shown += next.length;
    at("more").hidden = shown >= found.length;
    at("count").textContent = `${found.length.toLocaleString()} of ${data.rows.length.toLocaleString()} items`;
  };
  const look = () => {
    const [task, group, verdict] = ["task", "group", "verdict"].map((id) => at(id).value);
    const words = at("text").value.toLowerCase();
    found = data.rows.filter((row) => (task === "" || row[TASK] === +task)
      && (group === "" || row[GROUP] === group.slice(1)) && VERDICTS[verdict][1](row)
      && (words === "" || text(row).includes(words)));
    found.sort((a, b) => right(a[AFTER]) - right(b[AFTER]));
    at("list").replaceChildren();
    shown = 0;
    more();
  };
  const groups = () => {
    const task = at("task").value;
    const names = new Set(data.rows.filter((row) => task === "" || row[TASK] === +task).map((row) => row[GROUP]));
    fill(at("group"), [["", "all groups"], ...[...names].map((name) => [`=${name}`, name || "–"])]);
  };
  fill(at("task"), [["", "all tasks"], ...data.tasks.map((task, index) => [index, task.name])]);
  const kinds = Object.keys(VERDICTS).filter((name) => paired || !["lost", "gained"].includes(name));
  fill(at("verdict"), kinds.map((name) => [name, VERDICTS[name][0]]));
  groups();
  at("task").onchange = () => { groups(); look(); };
  at("group").onchange = at("verdict").onchange = look;
  let waiting;
  at("text").oninput = () => { clearTimeout(waiting); waiting = setTimeout(look, 200); };
  at("filters").onsubmit = (event) => { event.preventDefault(); look(); };
  at("more").onclick = more;
  look();
})();
