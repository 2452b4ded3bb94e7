// Presses the one button of the page, unless the person came back to it.
const [navigation] = performance.getEntriesByType("navigation");
if (navigation?.type !== "back_forward") document.getElementById("go-on").submit();
