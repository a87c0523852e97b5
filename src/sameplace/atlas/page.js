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
