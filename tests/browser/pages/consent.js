// What a site does that asks for consent by itself and measures with somebody else's tracker.
// The cookie is on the site's registrable domain, so that the collector gets it wherever the browser sends
// cookies: to the page's own origin, where a proxy in front of the collector makes any tracker work as it is.
export async function grant(collector) {
  const reply = await fetch(`${collector}/api/consent`, {
    method: "POST",
    body: JSON.stringify({ site: "portal", choice: "grant", source: "own" }),
  });
  const { token, expires } = await reply.json();
  const seconds = Math.floor((Date.parse(expires) - Date.now()) / 1000);
  document.cookie = `brine_consent=${token}; path=/; samesite=lax; domain=portal.example.test; max-age=${seconds}`;
}

// Where the collector is another origin, browsers send it no cookie: trackers ask for none. Then the token
// has to go into the body. Both public trackers post JSON text to one address, by fetch or by XMLHttpRequest;
// this adds the field there and touches no other request. (0.4.6 also has a hook, transformRequest, but
// does not call it for engagement.)
export function carryConsent(endpoint) {
  const signed = (body) => {
    const [, c] = document.cookie.match(/(?:^|; )brine_consent=([^;]+)/) ?? [];
    return JSON.stringify({ ...JSON.parse(body), c });
  };
  const { fetch } = window;
  window.fetch = (url, init) => fetch(url, url === endpoint ? { ...init, body: signed(init.body) } : init);
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    this.carriesConsent = url === endpoint;
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function (body) {
    return send.call(this, this.carriesConsent ? signed(body) : body);
  };
}
