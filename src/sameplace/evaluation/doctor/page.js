for (const card of cards) {
  for (const button of card.querySelectorAll(".files button")) button.addEventListener("click", () => compare([button]));
}
