// Has one of wslink's own clients start an application and use it: launch.cjs FOLDER PACKAGE PAGE ENDPOINT CONFIG CALL
// prints what each step came to, as JSON. CONFIG is the client's, CALL the method with its arguments, both as JSON.
"use strict";

const [, , folder, name, page, endPoint, config, call] = process.argv;
const { browse, exchanges } = require("./browser.cjs")(folder);
browse(page);
// fetchConnection and stop fail after any answer.
process.on("unhandledRejection", () => {});
process.on("uncaughtException", () => {});
console.log = console.info = console.error = console.warn = () => {};

const loaded = require(`${folder}/node_modules/${name}`);
const found = loaded.default && loaded.default.SmartConnect ? loaded.default : loaded;
const [SmartConnect, ProcessLauncher, WebsocketConnection] = ["SmartConnect", "ProcessLauncher", "WebsocketConnection"].map(
  (one) => found[one].default || found[one],
);
const [method, ...args] = JSON.parse(call);
const tell = (step, result) => process.stdout.write(JSON.stringify({ step, result }) + "\n");

function ready(client) {
  return new Promise((resolve, reject) => {
    client.onConnectionReady((connection) => resolve(connection));
    client.onConnectionError((data, error) => reject(new Error(typeof error === "string" ? error : JSON.stringify(error || (data && data.response)))));
    client.connect();
  });
}

async function exchanged(count) {
  while (exchanges.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  return exchanges[count - 1];
}

async function main() {
  const refused = SmartConnect.newInstance({ config: { application: "no such thing", sessionManagerURL: endPoint } });
  tell("refused", await ready(refused).then(() => "connected", (error) => error.message));
  // Clients of the oldest series leave USE_HOST to the page.
  const placed = (one) => ({ ...one, sessionURL: one.sessionURL && one.sessionURL.replace("USE_HOST", location.host) });
  const own = { ...JSON.parse(config), sessionManagerURL: endPoint };
  const smart = SmartConnect.newInstance({ config: own, configDecorator: placed });
  const connection = await ready(smart);
  const made = (await exchanged(2)).body;
  tell("made", made);
  tell("called", await connection.getSession().call(method, args));
  connection.destroy(0);
  const settings = { urls: placed(made).sessionURL, secret: made.secret };
  const again = await ready(WebsocketConnection.newInstance(settings));
  tell("again", await again.getSession().call(method, args));
  const launcher = ProcessLauncher.newInstance({ endPoint });
  launcher.fetchConnection(made.id);
  tell("fetched", await exchanged(3));
  // The second ends as a page does that is left, the third by its launcher.
  await again.getSession().call("application.exit.later", [0.1]);
  again.destroy(0);
  const third = await new Promise((resolve, reject) => {
    launcher.onProcessReady(resolve);
    launcher.onError((xhr) => reject(new Error(JSON.stringify(xhr.response))));
    launcher.start(JSON.parse(config));
  });
  launcher.stop(third);
  await exchanged(4);
  tell("stopped", await exchanged(5));
  tell("done", null);
}

main().then(() => process.exit(0), (error) => { tell("failed", String((error && error.stack) || error)); process.exit(1); });
