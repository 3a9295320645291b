// Look at pages in a browser: node look.cjs CHROMIUM FOLDER PAGE...
// Prints what it found as JSON; screenshots go into FOLDER.
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = [
  { name: "phone", width: 390, height: 844, colorScheme: "light" },
  { name: "phone-dark", width: 390, height: 844, colorScheme: "dark" },
  { name: "desktop", width: 1280, height: 900, colorScheme: "light" },
  { name: "dark", width: 1280, height: 900, colorScheme: "dark" },
  { name: "print", width: 794, height: 1123, colorScheme: "light", media: "print" },
];
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

const measure = () => {
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 100 && box.height > 50;
  };
  const figures = [...document.querySelectorAll("figure svg")];
  return {
    figures: figures.length,
    hidden: figures.filter((figure) => !shown(figure)).length,
    empty: figures.filter((figure) => figure.querySelectorAll("path, image").length < 5).length,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    sortable: document.querySelectorAll("th button").length,
  };
};

const use = async (page) => {
  const table = page.locator("table", { has: page.locator("th button") }).first();
  if (!(await table.count())) return null;
  const head = table.locator("th button").last();
  const read = () =>
    table.locator("tbody tr").evaluateAll((rows) =>
      rows.map((row) => row.cells[row.cells.length - 1].dataset.value ?? row.cells[row.cells.length - 1].textContent));
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  await head.click();
  const up = await read();
  await head.click();
  const down = await read();
  return { up, down };
};

(async () => {
  const [binary, folder, ...pages] = process.argv.slice(2);
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "look-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: binary, headless: true, args: FLAGS,
  });
  const found = [];
  try {
    for (const file of pages) {
      for (const view of VIEWS) {
        const page = await browser.newPage();
        const said = [];
        const asked = [];
        page.on("console", (one) => ["error", "warning"].includes(one.type()) && said.push(one.text()));
        page.on("pageerror", (error) => said.push(String(error)));
        page.on("request", (one) => /^(file|data):/.test(one.url()) || asked.push(one.url()));
        await page.setViewportSize({ width: view.width, height: view.height });
        await page.emulateMedia({ colorScheme: view.colorScheme, media: view.media ?? "screen" });
        await page.goto(pathToFileURL(path.resolve(file)).href);
        const name = path.basename(file, ".html");
        await page.screenshot({ path: path.join(folder, `${name}-${view.name}.png`), fullPage: true });
        const seen = await page.evaluate(measure);
        let faults = [];
        if (view.media !== "print") {
          await page.evaluate(axe);
          const result = await page.evaluate(() => axe.run(document));
          faults = result.violations.map((one) => ({
            id: one.id, impact: one.impact,
            nodes: one.nodes.map((node) => node.html.slice(0, 200)).slice(0, 3),
          }));
        }
        const sorted = view.name === "desktop" ? await use(page) : null;
        found.push({ page: name, view: view.name, said, asked, faults, sorted, ...seen });
        await page.close();
      }
    }
  } finally {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
  process.stdout.write(JSON.stringify(found, null, 1));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
