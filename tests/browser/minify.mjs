// node minify.mjs [--write]: makes the scripts that brine serves, src/tracker/min/, from their sources.
// Without --write it changes nothing, names the files that are not what their source gives, and exits 1.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = (path) => fileURLToPath(new URL(`../../src/tracker/${path}`, import.meta.url));

const minified = async (path) => {
  const { outputFiles, warnings } = await build({
    entryPoints: [folder(path)],
    write: false,
    minify: true,
    legalComments: "none",
    charset: "ascii", // whatever charset a page has, a script without one of its own is read in that
    target: "es2018", // what every browser in use reads; newer syntax in the sources is lowered
    // The extras share modules and need a scope of their own; brine.js brings its scope along.
    ...(path === "brine.js" ? {} : { bundle: true, format: "iife" }),
  });
  if (warnings.length) throw new Error(`${path}: ${warnings.map(({ text }) => text).join("; ")}`);
  return outputFiles[0].text;
};

const names = async (path) => (await readdir(folder(path))).filter((name) => name.endsWith(".js"));
const sources = [...(await names("")), ...(await names("adapters")).map((name) => `adapters/${name}`)];
const kept = new Set(await names("min"));
const wrong = [];
for (const path of sources) {
  const name = path.split("/").pop();
  const text = await minified(path);
  const isSame = kept.delete(name) && (await readFile(folder(`min/${name}`), "utf8")) === text;
  if (isSame) continue;
  if (process.argv.includes("--write")) await writeFile(folder(`min/${name}`), text);
  else wrong.push(name);
}
wrong.push(...[...kept].map((name) => `${name} (without a source)`));
if (wrong.length) {
  console.error(`src/tracker/min is not what the sources give: ${wrong.join(", ")}; \`npm run minify\` makes it`);
  process.exitCode = 1;
}
