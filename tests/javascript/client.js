// One step of the official JavaScript SDK: client.js STEP ARGUMENT..., answered in JSON.
const {
  createSecret, downloadFile, getSecrets, loadJsonConfig, updateSecret, uploadFile,
} = require('@keeper-security/secrets-manager-core')

const [step, ...given] = process.argv.slice(2)
const options = { storage: loadJsonConfig(process.env.KSM_CONFIG) }

const find = async (uid) => (await getSecrets(options, [uid])).records[0]

const steps = {
  titles: async () => (await getSecrets(options)).records.map((record) => record.data.title).sort(),
  password: async (uid) => {
    const record = await find(uid)
    return record && record.data.fields.find((field) => field.type === 'password').value[0]
  },
  change: async (uid, password) => {
    const record = await find(uid)
    record.data.fields.find((field) => field.type === 'password').value = [password]
    await updateSecret(options, record)
  },
  create: async (folder, title) =>
    createSecret(options, folder, { title, type: 'login', fields: [], custom: [] }),
  upload: async (uid, text) => {
    const data = new TextEncoder().encode(text)
    return uploadFile(options, await find(uid), { name: 'f', title: 'f', type: 'text/plain', data })
  },
  download: async (uid) => {
    const record = await find(uid)
    return Buffer.from(await downloadFile(record.files[0])).toString('utf8')
  },
}

steps[step](...given).then(
  (answer) => console.log(JSON.stringify(answer === undefined ? null : answer)),
  (error) => { console.error(String(error.message || error)); process.exit(1) },
)
