import { describe, expect, it } from "@effect/vitest"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { copyOfProject } from "../harness/copy.ts"
import { freePort } from "../harness/freePort.ts"
import { until } from "../harness/process.ts"

const root = new URL("../../..", import.meta.url).pathname

/** The output of an npm command; fails with it when the command fails. */
const npm = async (folder: string, ...args: ReadonlyArray<string>) => {
  const running = promisify(execFile)("npm", ["run", "--silent", ...args], { cwd: folder, encoding: "utf8" })
  const { stdout } = await running.catch((error) => {
    throw new Error(`npm run ${args.join(" ")}: ${error.stdout}${error.stderr}`)
  })
  return stdout
}

describe("npm run new", () => {
  it(
    "makes a module, an event, reactions and tasks that compile, keep the rules and pass their tests",
    { timeout: 1_800_000 },
    async () => {
      using copy = copyOfProject()
      const { folder } = copy
      const make = (...args: ReadonlyArray<string>) => npm(folder, "new", "--", ...args)
      expect(await make("module", "shipping", "parcel")).toContain("modules/shipping serves /parcels")
      expect(await make("event", "shipping", "parcel_sent")).toContain("parcel_sent")
      expect(await make("reaction", "shipping", "user_created")).toContain("each user_id")
      expect(await make("reaction", "shipping", "parcel_created")).toContain("each parcel_id")
      expect(await make("task", "shipping", "announce", "parcel_created")).toContain("SHIPPING_ANNOUNCE_URL")
      expect(await make("task", "payment", "ledger", "payment_successful")).toContain("PAYMENT_LEDGER_URL")
      expect(await make("reaction", "payment", "user_created")).toContain("each user_id")
      await npm(folder, "check")
      await npm(
        folder,
        "test",
        "--",
        "modules/shipping",
        "modules/payment/UserCreated",
        "modules/payment/LedgerCalls",
        "runtime/test/structure",
        "runtime/test/http/openapi",
        "runtime/contract",
      )
      expect(await npm(folder, "contracts")).toContain(
        "shipping: not released yet: parcel_created 1, parcel_sent 1, the endpoints",
      )
      expect(await npm(folder, "severability", "--", "shipping")).toContain("user_created (user)")
    },
  )

  it("lists in the module's README what it makes", { timeout: 300_000 }, async () => {
    using copy = copyOfProject()
    const { folder } = copy
    await npm(folder, "new", "--", "module", "shipping", "parcel")
    await npm(folder, "new", "--", "reaction", "shipping", "user_created")
    await npm(folder, "new", "--", "task", "shipping", "announce", "parcel_created")
    const readme = readFileSync(join(folder, "modules/shipping/README.md"), "utf8")
    expect(readme).toContain("| reacts to | `user_created`, its own `parcel_created` |")
    expect(readme).toContain("| tables | `parcels`, `last_user_created`, `announce_calls` |")
  })

  it("makes a program of its own that compiles, passes its tests and answers", { timeout: 1_800_000 }, async () => {
    using at = {
      folder: mkdtempSync(join(tmpdir(), "galleria-app-")),
      [Symbol.dispose]() {
        rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 })
      },
    }
    // The user `postgres` must be able to look into it, when the tests run as root.
    chmodSync(at.folder, 0o755)
    const app = join(at.folder, "shop")
    expect(await npm(root, "new", "--", "app", app)).toContain("is a program of its own")
    await promisify(execFile)("npm", ["ci", "--no-audit", "--no-fund"], { cwd: app })
    await npm(app, "check")
    await npm(app, "test")
    await npm(app, "new", "--", "module", "shipping", "parcel")
    await npm(app, "check:types")
    await npm(app, "test", "--", "modules/shipping", "runtime/test/structure")

    const url = `http://127.0.0.1:${await freePort()}`
    const env = { ...process.env, PORT: new URL(url).port, DATA_DIR: join(at.folder, "data") }
    const running = spawn("npm", ["start"], { cwd: app, env, detached: true, stdio: "ignore" })
    try {
      await until("the program answers", () =>
        fetch(`${url}/readyz`).then(
          ({ ok }) => ok,
          () => false,
        ),
      )
      const answer = await fetch(`${url}/notes`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: `{"name":"First"}`,
      })
      expect(answer.status).toBe(201)
    } finally {
      process.kill(-running.pid!, "SIGTERM")
      await once(running, "exit")
    }
  })

  it("changes nothing where it is refused", async () => {
    using copy = copyOfProject()
    const before = readFileSync(join(copy.folder, "runtime/modules.ts"), "utf8")
    for (const args of [
      ["module", "order"],
      ["module", "Bad"],
      ["module", "shop", "order"],
      ["event", "order", "order_created"],
      ["event", "order", "archived"],
      ["reaction", "order", "no_such"],
      ["what"],
    ]) {
      await expect(npm(copy.folder, "new", "--", ...args)).rejects.toThrow(
        /there is a module|is not|publishes|npm run new/u,
      )
    }
    expect(readFileSync(join(copy.folder, "runtime/modules.ts"), "utf8")).toBe(before)
    expect(existsSync(join(copy.folder, "modules/Bad"))).toBe(false)
  })
})
