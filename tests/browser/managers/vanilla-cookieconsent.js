// A site that bundles the npm package: its manager is no global.
import * as manager from "vanilla-cookieconsent";

const words = (title) => ({ title, acceptAllBtn: "Yes", acceptNecessaryBtn: "No", savePreferencesBtn: "Save", sections: [] });
manager.run({
  categories: { necessary: { enabled: true, readOnly: true }, analytics: {} },
  language: { default: "en", translations: { en: { consentModal: words("Cookies?"), preferencesModal: words("Choices") } } },
});
document.getElementById("settings").addEventListener("click", () => manager.showPreferences());
