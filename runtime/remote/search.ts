import { Effect } from "effect"
import { type Found, mergeFound } from "../admin/search/search.ts"
import { type RemoteCalls, json, passOn, type Reply } from "./calls.ts"
import type { RemoteCall } from "./processes.ts"

/** What all processes have under an id; one of them also reads the event log. */
export const searchOver =
  (calls: RemoteCalls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const [logging = calls.processes[0]] = calls.of("order")
      const answers = yield* Effect.forEach(
        calls.processes,
        (process) => {
          const path = process === logging ? call.path : `${call.path}&part=own`
          return Effect.map(Effect.result(calls.one(process, { ...call, path })), (answer) => ({ process, answer }))
        },
        { concurrency: "unbounded" },
      )
      const found: Array<Found> = []
      for (const { process, answer } of answers) {
        if (answer._tag === "Failure") {
          found.push({ items: [], gaps: [`${process.modules.join(", ")} could not be asked: ${answer.failure.why}`] })
        } else if (answer.success.status === 200) found.push(JSON.parse(answer.success.text) as Found)
        else return passOn(answer.success)
      }
      return json(mergeFound(found))
    })
