// What a site may call before brine.js is there: commands wait for it, events are not kept.
window.brine = ((q) => {
  const command = (name) => (options) => new Promise((done) => q.push([name, options, done]));
  return Object.assign(() => {}, { q, consent: command("consent"), withdraw: command("withdraw") });
})([]);

brine("TooEarly");
brine.consent({ choice: "grant", source: "early" }).then((isHeard) => {
  document.title = `heard: ${isHeard}`;
});
