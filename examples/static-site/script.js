const now = document.getElementById("now");
now.textContent = new Date().toLocaleTimeString();
setInterval(() => { now.textContent = new Date().toLocaleTimeString(); }, 1000);
