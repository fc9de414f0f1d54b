import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import type { Order } from "../../../modules/order/contract/api.ts"
import { encode } from "../../events/cloudEvents.ts"
import { auditOverHttp, pagesOf } from "../harness/audit.ts"
import {
  type Deployment,
  inOneProcess,
  overKafka,
  overKafkaAndPostgres,
  type Shape,
  type Site,
} from "../harness/deployment.ts"
import { patienceMillis, until } from "../harness/process.ts"
import { allOutages } from "./outages.ts"
import { allFaults } from "./production.ts"
import { soak } from "./soak.ts"
import { storm } from "./storm.ts"
import { killWhileShopping, makeShoppers, type Random, randomOf } from "../harness/shoppers.ts"

/** What happened in a run. */
export interface Outcome {
  readonly kills: { readonly first: number; readonly load: number; readonly start: number }
  readonly asked: number
  readonly unanswered: number
  readonly paid: number
  readonly faults: ReadonlyArray<string>
}

type Payable = Pick<typeof Order.Encoded, "id" | "user_id" | "amount">

/**
 * Publishes payments as another process would, on the log of a stopped site; all of them twice, as a relay
 * does that was killed before it could note that they were sent.
 */
const pay = (site: Site, orders: ReadonlyArray<Payable>) => {
  const records = orders.map(({ id, user_id, amount }) =>
    encode({
      id: `payment-of-${id}`,
      source: "/galleria/payment",
      type: "payment_successful",
      version: 1,
      key: String(user_id),
      subject: String(id),
      time: new Date().toISOString(),
      traceparent: null,
      data: JSON.stringify({ payment_id: id, order_id: id, user_id, amount }),
    }),
  )
  return site.send([...records, ...records])
}

/**
 * Kills Galleria again and again on one site, with kill -9: twice during its first start, then under the load of a crowd,
 * and each fifth time during a start; starts it again and audits what it finds. Of several processes sometimes all are
 * killed and sometimes one, while the others go on. Moments and wishes come from `seed`. Ends at the first fault.
 */
export const chaos = async (options: {
  readonly shape: Shape
  readonly kills: number
  readonly seed: number
  /** After how many kills everything is stopped, and the databases and the log are audited. */
  readonly auditEvery: number
  readonly say: (line: string) => void
}): Promise<Outcome> => {
  const random = randomOf(options.seed)
  const shoppers = makeShoppers(random)
  const { ledger } = shoppers
  const kills = { first: 0, load: 0, start: 0 }
  await using site = await options.shape.settle()
  let lives = 0
  /**
   * By turns, orders wait for a payment, and can be cancelled until then, or are processed at once. On a busy machine the
   * news of a user may take longer than an order usually waits for them.
   */
  const settings = () => ({ env: { ORDER_STEPS: lives++ % 2 === 0 ? "payment" : "none", USER_WAIT_MS: "10000" } })
  let faults: ReadonlyArray<string> = []

  for (; kills.first < 2; kills.first++) {
    await using galleria = site.launch(settings())
    await until("the databases are being prepared", () => site.isPreparing(galleria))
    await sleep(random() * 2_000 * kills.first)
  }
  for (let n = 1; n <= options.kills && faults.length === 0; n++) {
    if (n % 5 === 0) {
      await site.kill()
      await using _killed = site.launch(settings())
      await sleep(random() * 1_500)
      kills.start++
    } else {
      const galleria = await site.start(settings())
      faults = await audited(galleria, shoppers)
      await killWhileShopping(shoppers, galleria, victimsOf(galleria, random), 20 + random() * 800)
      kills.load++
    }
    if (n % options.auditEvery === 0 && faults.length === 0) {
      faults = await auditStopped(site, shoppers, random)
      options.say(`${n} kills, ${ledger.wishes.length} wishes, ${faults.length} faults`)
    }
  }
  if (faults.length === 0) faults = await auditStopped(site, shoppers, random)
  const unanswered = ledger.wishes.filter(({ id }) => id === undefined).length
  return { kills, asked: ledger.wishes.length, unanswered, paid: ledger.paid.size, faults }
}

/** One of the processes, or all. */
const victimsOf = ({ parts }: Deployment, random: Random) => {
  const one = parts.length === 1 ? undefined : parts[Math.floor(random() * (parts.length + 1))]
  return (one === undefined ? parts : [one]).map(({ galleria }) => galleria)
}

/** Asks again what was not answered, waits until everything is delivered, and says what is not as it must be. */
const audited = async (galleria: Deployment, { ledger, askAgain }: ReturnType<typeof makeShoppers>) => {
  await askAgain(galleria)
  const deadline = Date.now() + patienceMillis
  for (;;) {
    const faults = await auditOverHttp(galleria, ledger)
    if (faults.length === 0 || ledger.faults.length > 0 || Date.now() > deadline) return faults
    await sleep(20)
  }
}

/** The same, and then what databases and log say once all has stopped. Pays for some of the orders that wait. */
const auditStopped = async (site: Site, shoppers: ReturnType<typeof makeShoppers>, random: Random) => {
  const { ledger } = shoppers
  let faults: ReadonlyArray<string> = []
  let payable: ReadonlyArray<Payable> = []
  // The summaries, published last, are not waited for: they may be under way when the process stops.
  for (let tries = 0; tries < 5; tries++) {
    await using galleria = await site.start()
    faults = await audited(galleria, shoppers)
    if (faults.length > 0) return faults
    payable = await pagesOf<Payable>(galleria, "/orders?status=created")
    const { code } = await galleria.stop()
    if (code !== 0) return [`it stopped with ${code}:\n${galleria.output()}`]
    faults = await site.audit(ledger)
    if (faults.length === 0) break
  }
  const paid = payable.filter((_, n) => n === 0 || random() < 0.5)
  await pay(site, paid)
  for (const { id, user_id } of paid) {
    ledger.paid.add(id)
    ledger.touched.add(user_id)
  }
  return faults
}

/**
 * `npm run chaos [-- --shape kafka]` kills processes; `npm run chaos -- --outages 20` breaks Kafka and the way there in
 * each way there is, for that many seconds each, and with `--shape production` PostgreSQL under two processes of each
 * module; `npm run chaos -- --shape production` restarts database and broker and kills, until there are 5,000 orders;
 * `npm run chaos -- --soak 60m --shape production` does all of this in turn for that long (`soak.ts`), and looks whether
 * memory, sockets, disk and lag are then where they were.
 */
const main = async () => {
  const { values } = parseArgs({
    options: {
      shape: { type: "string", default: "process" },
      kills: { type: "string" },
      "audit-every": { type: "string" },
      outages: { type: "string" },
      soak: { type: "string" },
      orders: { type: "string", default: "5000" },
      rounds: { type: "string" },
      seed: { type: "string", default: String(Date.now() % 1e6) },
    },
  })
  if (values.outages !== undefined) {
    const all = values.shape === "production" ? allFaults : allOutages
    const faults = await all({ length: Number(values.outages), seed: Number(values.seed), say: console.log })
    for (const fault of faults) console.error(fault)
    process.exit(faults.length === 0 ? 0 : 1)
  }
  if (values.soak !== undefined) {
    if (values.shape !== "production") throw new Error("--soak needs --shape production")
    const millis = millisOf(values.soak)
    const { faults, ...soaked } = await soak({ millis, seed: Number(values.seed), say: console.log })
    for (const fault of faults) console.error(fault)
    console.log(`soak of ${values.soak}: seed ${values.seed}; ${JSON.stringify(soaked)}; ${faults.length} faults`)
    process.exit(faults.length === 0 ? 0 : 1)
  }
  const began = Date.now()
  const seed = Number(values.seed)
  const spent = () => `${Math.round((Date.now() - began) / 1_000)} s`
  if (values.shape === "production") {
    console.log(`chaos as in production: seed ${seed}`)
    const rounds = Number(values.rounds ?? Infinity)
    const { faults, ...weather } = await storm({ orders: Number(values.orders), rounds, seed, say: console.log })
    for (const fault of faults) console.error(fault)
    console.log(`chaos as in production: seed ${seed}; ${JSON.stringify(weather)}; ${faults.length} faults; ${spent()}`)
    process.exit(faults.length === 0 ? 0 : 1)
  }
  const form = forms[values.shape]
  if (form === undefined) throw new Error(`--shape is one of production, ${Object.keys(forms).join(", ")}`)
  const kills = Number(values.kills ?? form.kills)
  const auditEvery = Number(values["audit-every"] ?? form.auditEvery)
  const { shape } = form
  console.log(`chaos ${shape.name}: seed ${seed}`)
  const outcome = await chaos({ shape, kills, auditEvery, seed, say: console.log })
  const { asked, unanswered, paid, faults } = outcome
  for (const fault of faults) console.error(fault)
  console.log(
    `chaos ${shape.name}: seed ${seed}; ${wordsOf(outcome)}; ` +
      `${asked} wishes, ${unanswered} never answered, ${paid} orders paid; ${faults.length} faults; ` +
      spent(),
  )
  process.exit(faults.length === 0 ? 0 : 1)
}

/** A duration such as `90s`, `60m` or `8h`. */
const millisOf = (text: string) => {
  const [, count, unit] = /^(\d+)([smh])$/u.exec(text) ?? []
  if (unit === undefined) throw new Error(`--soak is a duration such as 90s, 60m or 8h, not ${text}`)
  return Number(count) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"]
}

const wordsOf = ({ kills: { first, load, start } }: Outcome) =>
  `killed ${first} times in its first start, ${load} under load, ${start} while starting`

/** Over Kafka the group waits ten seconds for a killed member. */
const forms: Readonly<Record<string, { readonly shape: Shape; readonly kills: number; readonly auditEvery: number }>> =
  {
    process: { shape: inOneProcess, kills: 300, auditEvery: 20 },
    kafka: { shape: overKafka, kills: 60, auditEvery: 10 },
    postgres: { shape: overKafkaAndPostgres, kills: 60, auditEvery: 10 },
  }

if (import.meta.main) await main()
