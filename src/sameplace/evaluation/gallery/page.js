const filters = [...document.querySelectorAll(".filters button")];
const summary = document.querySelector(".summary");

function filter(button) {
  for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
  for (const card of cards) {
    card.hidden = button.dataset.show !== "all" && card.dataset.kind !== button.dataset.show;
    answers.get(card.id)?.classList.toggle("hidden", card.hidden);
  }
  summary.textContent = button.dataset.told;
  const chosenCard = cards.find((card) => card.classList.contains("chosen"));
  const first = cards.find((card) => !card.hidden);
  if (map && first && (!chosenCard || chosenCard.hidden)) choose(first, { move: false });
}

for (const button of filters) button.addEventListener("click", () => filter(button));
for (const card of cards) {
  const photos = [...card.querySelectorAll(".photo")];
  for (const photo of photos) photo.addEventListener("click", () => compare(photos));
}
