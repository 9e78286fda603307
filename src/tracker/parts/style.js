// How the banner looks. It lives in a shadow tree: the site's style sheets do not reach in, its custom
// properties `--brine-…` do.
const dark = `--ground: #182324; --ink: #e4eeec; --quiet: #a9bcbb; --edge: #46595b; --accent: #7ad3cf; --on-accent: #08211f; --scheme: dark;`;

export const style = `
:host { all: initial !important; }
:host {
  --ground: #fff; --ink: #16282a; --quiet: #4d6163; --edge: #b9c8c6; --accent: #0f6b6c; --on-accent: #fff;
  --scheme: light;
}
@media (prefers-color-scheme: dark) { :host(:not([data-theme=light])) { ${dark} } }
:host([data-theme=dark]) { ${dark} }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
dialog, .corner {
  background: var(--brine-ground, var(--ground));
  border: 1px solid var(--brine-edge, var(--edge));
  color: var(--brine-ink, var(--ink));
  color-scheme: var(--scheme);
  font: 1em/1.5 var(--brine-font, system-ui, sans-serif);
  position: fixed;
  z-index: var(--brine-z, 2147483000);
}
dialog {
  border-radius: var(--brine-radius, .9em);
  box-shadow: 0 .5em 2em #0004;
  inset: var(--brine-inset, auto 1em 1em);
  margin: 0 auto;
  max-height: calc(100vh - 2em);
  max-width: min(42em, 100vw - 2em);
  overflow: auto;
  padding: 1.25em 1.5em;
  width: auto;
}
dialog:modal { inset: 0; margin: auto; width: fit-content; }
dialog::backdrop { background: #0006; }
h2 { font: 650 1.25em/1.3 var(--brine-font, system-ui, sans-serif); margin: 0 0 .4em; }
:modal h2 { padding-inline-end: 3em; }
h2:focus { outline: none; }
p { margin: 0 0 .8em; }
.state { font-weight: 600; }
a { color: var(--brine-accent, var(--accent)); }
.answers, .more { display: grid; gap: .7em; grid-template-columns: repeat(auto-fit, minmax(min(13em, 100%), 1fr)); margin: 0; }
.more { margin-top: 1.2em; }
#close { border: 0; inset: .6em .6em auto auto; padding: .2em .8em; position: absolute; text-decoration: underline; }
button {
  background: none;
  border: 2px solid var(--brine-edge, var(--edge));
  border-radius: calc(var(--brine-radius, .9em) * .6);
  color: inherit;
  cursor: pointer;
  font: inherit;
  min-height: 2.75em;
  padding: .4em 1em;
}
.answers button {
  background: var(--brine-accent, var(--accent));
  border-color: var(--brine-accent, var(--accent));
  color: var(--brine-on-accent, var(--on-accent));
  font-weight: 600;
}
button:hover { filter: brightness(1.07); }
:focus-visible { outline: 3px solid var(--brine-accent, var(--accent)); outline-offset: 2px; }
.corner { border-radius: 2em; inset: var(--brine-button-inset, auto auto .75em .75em); }
.corner button { border: 0; border-radius: 2em; color: var(--brine-quiet, var(--quiet)); font-size: .85em; min-height: 2.4em; padding: .3em 1em; }
.corner button:hover { color: var(--brine-ink, var(--ink)); text-decoration: underline; }
.said { block-size: 1px; clip-path: inset(50%); inline-size: 1px; overflow: hidden; position: fixed; white-space: nowrap; }
@media (max-width: 30em) {
  dialog { font-size: .94em; padding: 1em 1.1em; }
  dialog:not(:modal) { inset: var(--brine-inset, auto .5em .5em); max-width: none; }
}
@media (prefers-reduced-motion: no-preference) { dialog[open] { animation: rise .25s ease-out; } }
@keyframes rise { from { opacity: 0; transform: translateY(1em); } }
@media print { dialog, .corner { display: none; } }
`;
