import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { modules } from "../../modules.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres } from "../harness/postgresServer.ts"
import { randomOf } from "../harness/shoppers.ts"
import { divisionsOf, drawGroupings, fixedGroupings, groupingOf, titleOf } from "./grouping.ts"
import { type Servers, startServers, walkGrouping } from "./groupings.ts"

const names = Object.keys(modules)
const isPossible = (await canStartKafka()) && (await canStartPostgres())

describe("A grouping", () => {
  it("is one of 52 for five modules", () => {
    const divisions = divisionsOf(names)
    const texts = divisions.map((processes) =>
      processes
        .map((one) => one.toSorted().join("+"))
        .toSorted()
        .join(" "),
    )
    expect(new Set(texts).size).toBe(52)
    for (const processes of divisions) expect(processes.flat().toSorted()).toEqual(names.toSorted())
  })

  it("is drawn once, the same by the same seed", () => {
    const drawn = drawGroupings(names, Infinity, randomOf(7))
    expect(new Set(drawn.map(({ processes }) => JSON.stringify(processes))).size).toBe(52)
    expect(drawGroupings(names, 5, randomOf(7))).toEqual(drawGroupings(names, 5, randomOf(7)))
    expect(drawGroupings(names, 5, randomOf(8))).not.toEqual(drawGroupings(names, 5, randomOf(7)))
    expect(drawn.some(({ embedded }) => embedded.length > 0 && embedded.length < names.length)).toBe(true)
  })

  it("is read as it is written, and refused where it is none", () => {
    for (const grouping of fixedGroupings) {
      const [processes, embedded] = titleOf(grouping).split(" --embedded ")
      expect(groupingOf(processes!.split(" "), embedded, names)).toEqual(grouping)
    }
    expect(() => groupingOf(["user+order", "payment"], undefined, names)).toThrow("does not name each module once")
    expect(() => groupingOf(["user+order+payment+inventory+notification"], "shop", names)).toThrow("no module shop")
  })
})

const [first, ...others] = fixedGroupings
const runs = [
  { release: 17, groupings: [first!] },
  { release: 18, groupings: others },
] as const

describe.for(isPossible ? runs : [])(
  "Modules in any grouping, over Kafka and PostgreSQL $release",
  { timeout: 300_000 },
  ({ release, groupings }) => {
    let servers: Servers
    beforeAll(async () => {
      servers = await startServers(release)
    })
    afterAll(() => servers[Symbol.asyncDispose]())

    it.each(groupings.map((grouping) => [titleOf(grouping), grouping] as const))(
      "bring every order to its ending: %s",
      async (_title, grouping) => {
        expect(await walkGrouping(servers, grouping)).toEqual([])
      },
    )
  },
)
