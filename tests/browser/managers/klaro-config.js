// Klaro's configuration, as a site writes it; Klaro itself is the npm package.
window.klaroConfig = {
  elementID: "klaro",
  acceptAll: true,
  services: [{ name: "brine", title: "brine", purposes: ["analytics"], required: location.hash === "#required" }, { name: "maps", title: "Maps", purposes: ["maps"] }],
  translations: { en: { purposes: { analytics: { title: "Analytics" }, maps: { title: "Maps" } } } },
  lang: "en",
};
