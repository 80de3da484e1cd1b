// noVNC and nothing else, as pages of sites have it: "path" is all behind the host, "novnc" the folder of its version.

const fields = new URLSearchParams(location.search);
const { default: RFB } = await import(`./${fields.get("novnc")}/core/rfb.js`);
const scheme = location.protocol === "https:" ? "wss" : "ws";
const address = `${scheme}://${location.hostname}:${fields.get("port")}/${fields.get("path")}`;
const rfb = new RFB(document.getElementById("screen"), address, {});
for (const name of ["connect", "disconnect"]) {
  rfb.addEventListener(name, ({ detail }) => {
    document.body.dataset.state = name;
    document.body.dataset.clean = String(detail.clean ?? "");
  });
}
