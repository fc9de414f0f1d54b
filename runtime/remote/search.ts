import { Effect } from "effect"
import { type Found, mergeFound } from "../admin/search/search.ts"
import { type RemoteCalls, json, passOn, pathOf, queryOf, type Reply } from "./calls.ts"
import type { RemoteCall } from "./processes.ts"

/** What all processes have under an id; one of them also reads the event log. */
export const searchOver =
  (calls: RemoteCalls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const [logging = calls.processes[0]] = calls.of("order")
      const others = calls.processes.filter((process) => process !== logging)
      const own = new URLSearchParams([...queryOf(call), ["part", "own"]])
      // The first answer has the faults of a call.
      const searches = [
        calls.all(call, logging === undefined ? [] : [logging]),
        calls.all({ ...call, path: `${pathOf(call)}?${own.toString()}` }, others),
      ]
      const answers = (yield* Effect.all(searches, { concurrency: "unbounded" })).flat()
      const found: Array<Found> = []
      for (const { process, answer } of answers) {
        if (answer._tag === "Failure") {
          found.push({ items: [], gaps: [`${process.modules.join(", ")} could not be asked: ${answer.failure.why}`] })
        } else if (answer.success.status === 200) found.push(JSON.parse(answer.success.text) as Found)
        else return passOn(answer.success)
      }
      return json(mergeFound(found))
    })
