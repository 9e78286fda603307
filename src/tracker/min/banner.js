(()=>{var R=()=>document.querySelector("script[data-site]"),c=e=>R()&&R().dataset[e]||"",S=(e,t,o=50)=>{let a=e();a?t(a):o<4e4&&setTimeout(()=>S(e,t,o*1.5),o)};var W=()=>Math.max(0,Math.round(Date.now()-performance.timeOrigin));var V=e=>("."+location.hostname).endsWith("."+e)?e:"",C=(e,t,o,a=V(c("cookieDomain")))=>{a&&C(e,"",0,"");try{document.cookie=e+"="+t+"; path=/; samesite=lax; max-age="+o+(a&&"; domain="+a)+(location.protocol==="https:"?"; secure":"")}catch(j){}},_=(e,t)=>C(e,1,t*86400),E=e=>C(e,"",0),A=e=>{try{return new RegExp("(?:^|; )"+e+"=1").test(document.cookie)}catch(t){return!1}};var G="--ground: #182324; --ink: #e4eeec; --quiet: #a9bcbb; --edge: #46595b; --accent: #7ad3cf; --on-accent: #08211f; --scheme: dark;",Y=`
:host { all: initial !important; }
:host {
  --ground: #fff; --ink: #16282a; --quiet: #4d6163; --edge: #b9c8c6; --accent: #0f6b6c; --on-accent: #fff;
  --scheme: light;
}
@media (prefers-color-scheme: dark) { :host(:not([data-theme=light])) { ${G} } }
:host([data-theme=dark]) { ${G} }
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
`;var X={question:"May we count your visit?",terms:(e,t)=>`If you say yes, we record which pages you see, for how long and what you do there, how you got here, roughly where
    you are and what kind of device you use. We keep that for at most ${e}, under a pseudonym that changes ${t}, without your
    IP address. You can change your mind at any time, and saying no costs you nothing.`,months:e=>e===1?"one month":`${e} months`,days:e=>e===1?"one day":`${e} days`,renewed:{day:"every night",week:"every week",month:"every month"},policy:"What exactly is stored",yes:"Yes, count my visit",no:"No, do not count me",choices:"Privacy choices",signalled:"Privacy: your browser says no",title:"Your privacy choices",granted:"You said yes: your visits are counted.",denied:"You said no: nothing is counted.",none:"You have not chosen yet: nothing is counted.",signal:"Your browser says no for you (Global Privacy Control or Do Not Track), and we heed it: nothing is counted.",unheard:"Your yes did not arrive or was not accepted: nothing is counted. To try again, reload the page.",mydata:"See or erase my data",erase:"Withdraw and erase everything",erasing:"Your consent is withdrawn; what was counted is being erased \u2026",erased:"Your consent is withdrawn, and what was counted here is erased.",unerased:"Your consent is withdrawn on this device, but the server did not confirm the erasure. Please use \u201CSee or erase my data\u201D.",close:"Close"},Z={question:"M\xE5 vi t\xE6lle dit bes\xF8g med?",terms:(e,t)=>`Hvis du siger ja, registrerer vi, hvilke sider du ser, hvor l\xE6nge og hvad du g\xF8r d\xE9r, hvordan du kom hertil, omtrent
    hvor du er, og hvilken slags enhed du bruger. Det gemmes i h\xF8jst ${e} under et pseudonym, der skifter ${t}, uden din
    IP-adresse. Du kan altid ombestemme dig, og et nej har ingen ulemper.`,months:e=>e===1?"en m\xE5ned":`${e} m\xE5neder`,days:e=>e===1?"en dag":`${e} dage`,renewed:{day:"hver nat",week:"hver uge",month:"hver m\xE5ned"},policy:"Hvad der pr\xE6cist gemmes",yes:"Ja, t\xE6l mit bes\xF8g med",no:"Nej, t\xE6l mig ikke med",choices:"Privatlivsvalg",signalled:"Privatliv: din browser siger nej",title:"Dine privatlivsvalg",granted:"Du har sagt ja: Dine bes\xF8g t\xE6lles med.",denied:"Du har sagt nej: Intet t\xE6lles.",none:"Du har ikke valgt endnu: Intet t\xE6lles.",signal:"Din browser siger nej p\xE5 dine vegne (Global Privacy Control eller Do Not Track), og det retter vi os efter: Intet t\xE6lles.",unheard:"Dit ja n\xE5ede ikke frem eller blev ikke godtaget: Intet t\xE6lles. Genindl\xE6s siden for at pr\xF8ve igen.",mydata:"Se eller slet mine data",erase:"Tr\xE6k tilbage og slet alt",erasing:"Dit samtykke er trukket tilbage; det, der var talt, bliver slettet \u2026",erased:"Dit samtykke er trukket tilbage, og det, der var talt her, er slettet.",unerased:"Dit samtykke er trukket tilbage p\xE5 denne enhed, men serveren bekr\xE6ftede ikke sletningen. Brug \xBBSe eller slet mine data\xAB.",close:"Luk"},B={da:Z,en:X},F=(...e)=>e.map(t=>(t||"").slice(0,2).toLowerCase()).find(t=>B[t])||"en",J=e=>B[e],U=({days:e,months:t},o)=>o<61?e(o):t(Math.ceil(o/30.44));var v="brine_denied",$="banner",r=(e,t,...o)=>{let a=Object.assign(document.createElement(e),t);return a.append(...o),a},ee=()=>document.readyState!=="loading"&&window.HTMLDialogElement&&window.brine&&brine.state;S(ee,()=>{let e=F(c("lang"),document.documentElement.lang,navigator.language),t=J(e),{api:o,site:a}=brine.state(),j=t.terms(U(t,+c("days")||395),t.renewed[c("rotation")||"day"]),K=c("policy")||`${o}/policy?site=${a}&lang=${e}`,g=r("h2",{id:"title",tabIndex:-1}),l=r("p",{className:"state"});l.setAttribute("role","status");let m=(n,p)=>{let H=r("button",{id:n,type:"button",textContent:t[n]});return H.addEventListener("click",p),H},L=r("p",{className:"answers"},m("no",()=>P("deny")),m("yes",()=>P("grant"))),M=m("erase",async()=>{let n=brine.withdraw({erase:!0,source:$});g.focus(),l.textContent=t.erasing,l.textContent=await n?t.erased:t.unerased}),N=r("p",{className:"more"},m("mydata",()=>brine.mydata()),M,m("close",()=>i.close())),i=r("dialog",{},g,l,r("p",{id:"terms"},j.replace(/\s+/g," ")+" ",r("a",{href:K,target:"_blank",rel:"noopener",textContent:t.policy})),L,N);i.setAttribute("aria-labelledby","title"),i.setAttribute("aria-describedby","terms");let x=m("choices",()=>I()),D=r("section",{className:"corner"},x);D.setAttribute("aria-label",t.choices);let y=r("p",{className:"said"});y.setAttribute("role","status");let f=r("brine-banner",{lang:e});f.dataset.theme=c("theme");let h=f.attachShadow({mode:"open"});if(h.adoptedStyleSheets){let n=new CSSStyleSheet;n.replaceSync(Y),h.adoptedStyleSheets=[n]}else h.append(r("style",{textContent:Y}));h.append(i,D,y);let q=r("div"),s=!1,w=!1,d,b=()=>{let{consent:n,signal:p}=brine.state();return p?"signal":n==="none"&&A(v)?"denied":n},u=()=>{let n=b();g.textContent=s?t.question:t.title,l.hidden=N.hidden=s,l.textContent=t[n],L.hidden=n==="signal",M.hidden=n!=="granted",x.textContent=n==="signal"?t.signalled:t.choices,D.hidden=s||!!document.querySelector("[data-brine-choices]"),q.style.height=(s?i.offsetHeight+32:0)+"px"},Q=()=>{i.open||(s=!0,d=document.activeElement,i.setAttribute("open",""),u(),(!d||d===document.body)&&g.focus({preventScroll:!0}))},I=()=>{i.open&&k(),i.showModal(),u(),g.focus()},k=()=>{let n=h.activeElement;i.close(),s=!1,u(),n&&d&&d!==document.body&&d.focus({preventScroll:!0}),d=null},P=async n=>{w=!0,k(),n==="grant"&&E(v);let p=await brine.consent({choice:n,source:$,age:W()});w=!1,u(),y.textContent=t[b()],!p&&b()==="none"&&(y.textContent=x.textContent=t.unheard)},z=()=>s&&b()!=="none"?k():u(),O=()=>b()==="none"&&!w?Q():z();document.addEventListener("brine:consent",({detail:{consent:n}})=>{if(n==="denied"&&_(v,182),n==="granted"){if(w&&A(v))return brine.withdraw({source:$});E(v)}O()}),addEventListener("focus",z),addEventListener("resize",()=>s&&u()),document.addEventListener("click",n=>{!n.target.closest||!n.target.closest("[data-brine-choices]")||(n.preventDefault(),I())}),document.addEventListener("keydown",({key:n})=>{n==="Escape"&&s&&k()});let T=()=>{if(f.isConnected||!document.body)return;let n=document.body.firstElementChild;for(;n&&n.matches('a[href^="#"]');)n=n.nextElementSibling;document.body.insertBefore(f,n),document.documentElement.append(q)};new MutationObserver(T).observe(document.documentElement,{childList:!0}),T(),O()});})();
