// Calls the API when the button is pressed, and shows its JSON or says clearly what went wrong.
const button = document.getElementById("test");
const status = document.getElementById("status");
const answer = document.getElementById("answer");

const LIMIT_MS = 10_000;

function show(message, failed) {
  status.textContent = message;
  status.className = failed ? "failed" : "";
}

async function callApi(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS), headers: { Accept: "application/json" } });
  if (!response.ok) {
    throw new Error(`l'API a répondu ${response.status}`);
  }
  try {
    return await response.json();
  } catch {
    throw new Error("la réponse n'est pas du JSON");
  }
}

function reason(error) {
  if (error.name === "TimeoutError") {
    return `pas de réponse en ${LIMIT_MS / 1000} secondes`;
  }
  // fetch says no more than this when nothing listens or the answer may not be read.
  return error instanceof TypeError ? "l'API est injoignable" : error.message;
}

button.addEventListener("click", async () => {
  const url = button.dataset.apiUrl;
  answer.hidden = true;
  if (!/^https?:\/\//.test(url)) {
    show("L'adresse de l'API n'est pas configurée (variable api_url).", true);
    return;
  }
  button.disabled = true;
  show("Appel de l'API…", false);
  try {
    answer.textContent = JSON.stringify(await callApi(url), null, 2);
    answer.hidden = false;
    show(`Réponse de ${url}`, false);
  } catch (error) {
    show(`L'appel de ${url} a échoué : ${reason(error)}.`, true);
  } finally {
    button.disabled = false;
  }
});
