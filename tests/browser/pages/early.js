// What a site may call before brine.js is there: commands wait for it, events are not kept.
window.brine = (() => {
  const command = (name) => (options) => new Promise((done) => {
    document.addEventListener("brine:consent", () => done(brine[name](options)), { once: true });
  });
  return Object.assign(() => {}, { consent: command("consent"), withdraw: command("withdraw") });
})();

brine("TooEarly");
brine.consent({ choice: "grant", source: "early" }).then((isHeard) => {
  document.title = `heard: ${isHeard}`;
});
