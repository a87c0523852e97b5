function light(button, on) {
  const card = button.closest(".card");
  if (on && button === document.activeElement && !card.classList.contains("chosen")) choose(card);
  answers.get(card.id)?.querySelector(`.found[data-rank="${button.dataset.rank}"]`)?.classList.toggle("lit", on);
}

for (const card of cards) {
  const beside = (button) => compare([card.querySelector(".told .photo"), button]);
  for (const button of card.querySelectorAll(".matches button")) {
    button.addEventListener("click", () => beside(button));
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) button.addEventListener(event, () => light(button, on));
  }
  for (const found of answers.get(card.id)?.querySelectorAll(".found") ?? []) {
    found.addEventListener("click", () => travelled < 6 && beside(card.querySelector(`[data-rank="${found.dataset.rank}"]`)));
  }
}

const weakness = document.querySelector(".weakness"), spot = document.querySelector(".spot");
if (weakness && map) {
  const cover = () => map.parentNode.classList.toggle("covered", weakness.open);
  weakness.addEventListener("toggle", () => { cover(); if (weakness.open) fly(around(whole, 40)); });
  for (const button of weakness.querySelectorAll("[data-part]")) button.addEventListener("click", () => {
    spot.dataset.at = button.dataset.part;
    spot.classList.add("lit");
    fly(around(button.dataset.box.split(" ").map(Number), PAD));
  });
  cover();
}
