// Open the envelopes of vector files with nothing of ksm_storage and no Python:
// node reader.mjs FILE... prints {"FILE": [["category", "payload in base64"], ...]}.
import { createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { readFileSync } from "node:fs";

const HEADER = new RegExp(
  "^suite: (?<suite>0|[1-9]\\d{0,17})\\nenvelope-id: [0-9a-f]{32}\\n" +
    "created: (?<created>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ)\\n" +
    "sealed: (?<sealed>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ)\\nrevision: [1-9]\\d{0,17}\\n" +
    "generation: (?<generation>[1-9]\\d{0,17})\\n" +
    "(?<context>(?:context: [A-Za-z0-9][A-Za-z0-9._-]{0,63}=[!-~](?:[ -~]{0,254}[!-~])?\\n){0,16})" +
    "(?<recipients>(?:recipient: (?=[^:]{1,64}:)[a-z][a-z0-9]*(?:-[a-z0-9]+)*://[!-~]{1,2048}\\n" +
    "algorithm: [!-~]{1,64}\\nwrapped-dek: [^ \\n]+\\n){1,16})message-id: (?<messageId>[^ \\n]{44})\\n" +
    "commitment: (?<commitment>[^ \\n]{44})\\n(?:lineage: (?<lineage>[^ \\n]+)\\n)?header-mac: (?<mac>[^ \\n]{44})\\n$",
);
class Refused extends Error {}
const refuseIf = (wrong, category = "malformed") => {
  if (wrong) throw new Refused(category);
};

function decoded(text, least, most) {
  refuseIf(!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4);
  const raw = Buffer.from(text, "base64");
  refuseIf(raw.toString("base64") !== text, "non-canonical");
  refuseIf(raw.length < least || raw.length > most);
  return raw;
}

function checkTime(text) {
  const time = new Date(text);
  refuseIf(!(time >= 0) || time.toISOString() !== text.replace("Z", ".000Z"));
}

function contextOf(lines) {
  const pairs = lines.split("\n").slice(0, -1).map((line) => {
    const pair = line.slice("context: ".length);
    return [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
  });
  refuseIf(pairs.some(([name], at) => name.startsWith("ksm-storage.") || (at && pairs[at - 1][0] >= name)));
  refuseIf(pairs.flat().join("").length > 1024);
  return pairs;
}

function headerOf(text) {
  const end = text.slice(0, 262144).indexOf("\n\n");
  refuseIf(end < 0);
  const suite = /^.*\nsuite: (0|[1-9]\d{0,17})\n/.exec(text);
  refuseIf(suite && suite[1] !== "1", "unknown-suite");
  const found = HEADER.exec(text.slice(text.indexOf("\n") + 1, end + 1)) ?? refuseIf(true);
  return { end, ...found.groups };
}

function opened(raw, dek, wanted) {
  let text = raw.toString("latin1").replace(/^\xef\xbb\xbf/, "");
  refuseIf(raw.length > 2097152, "too-large");
  if (!/(^|[^\r])\n|\r($|[^\n])/.test(text)) text = text.replaceAll("\r\n", "\n");
  if (text.includes("\n\n") && !text.endsWith("\n")) text += "\n";
  refuseIf(!text.startsWith("ksm-storage envelope v"), "not-an-envelope");
  const version = /^ksm-storage envelope v(0|[1-9]\d{0,17})\n/.exec(text);
  refuseIf(version?.[1] !== "1", version ? "unknown-version" : "malformed");
  refuseIf(/[^\n -~]/.test(text) || !text.endsWith("\n"));
  const header = headerOf(text);
  [header.created, header.sealed].forEach(checkTime);
  const context = contextOf(header.context);
  refuseIf(/^(recipient: .*)$[^]*^\1$/m.test(header.recipients));
  header.recipients.match(/(?<=^wrapped-dek: ).*$/gm).forEach((dek) => decoded(dek, 1, 8192));
  const [messageId, commitment, mac] = ["messageId", "commitment", "mac"].map((name) => decoded(header[name], 32, 32));
  refuseIf((header.generation === "1") !== (header.lineage === undefined));
  refuseIf(header.lineage && decoded(header.lineage, 48, 1040).length % 32 !== 16);
  const body = text.slice(header.end + 2);
  const sealed = decoded(body.replaceAll("\n", ""), 16, 1048592);
  refuseIf(body.replaceAll("\n", "").replace(/.{1,64}/g, "$&\n") !== body, "non-canonical");
  const asked = wanted && JSON.stringify(Object.entries(wanted).sort());
  refuseIf(asked && asked !== JSON.stringify(context), "wrong-context");
  const key = (info) => Buffer.from(hkdfSync("sha512", dek, messageId, Buffer.from(info, "latin1"), 32));
  refuseIf(!key("COMMITKEY").equals(commitment), "wrong-dek");
  const covered = text.slice(0, text.lastIndexOf("header-mac: ", header.end));
  refuseIf(!createHmac("sha256", key("ksm-storage header mac v1")).update(covered).digest().equals(mac), "altered-header");
  const core = text.slice(0, header.end + 1).match(/^(?:ksm-storage|suite|envelope-id|generation|context|message-id).*\n/gm);
  const cipher = createDecipheriv("aes-256-gcm", key("\x04\x78DERIVEKEY"), Buffer.alloc(12));
  cipher.setAAD(Buffer.from(core.join(""), "latin1")).setAuthTag(sealed.subarray(-16));
  const plain = cipher.update(sealed.subarray(0, -16));
  try { cipher.final(); } catch { refuseIf(true, "altered-payload"); }
  return plain;
}

function answer({ envelope, dek, context }) {
  const pieces = envelope.map((piece) => typeof piece === "string" ? piece : piece.repeat.repeat(piece.times));
  try {
    return ["success", opened(Buffer.from(pieces.join(""), "latin1"), Buffer.from(dek, "hex"), context).toString("base64")];
  } catch (error) {
    if (error instanceof Refused) return [error.message, null];
    throw error;
  }
}

const read = (file) => [file, JSON.parse(readFileSync(file)).vectors.map(answer)];
console.log(JSON.stringify(Object.fromEntries(process.argv.slice(2).map(read))));
