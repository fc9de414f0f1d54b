import { Clock, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { Kinds, responseOf } from "../http/Problem.ts"
import { ask, type RemoteAnswer, type RemoteCall, type RemoteProcess, Unreachable } from "./processes.ts"

/** An answer of the console process. */
export type Reply = Effect.Effect<HttpServerResponse.HttpServerResponse, Unreachable>

export const passOn = ({ status, headers, text }: RemoteAnswer) =>
  text === ""
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.text(text, { status, headers, contentType: headers["content-type"] ?? "application/json" })

export const json = (body: unknown) => HttpServerResponse.jsonUnsafe(body, { headers: { "cache-control": "no-store" } })

export const isoNow = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** The path of a call without its query. */
export const pathOf = ({ path }: RemoteCall): string => path.split("?", 1)[0]!

/** The query of a call. */
export const queryOf = ({ path }: RemoteCall) => new URLSearchParams(path.slice(pathOf({ method: "", path }).length))

/** Calls to the processes of modules. */
export const callsTo = (processes: ReadonlyArray<RemoteProcess>, token: string | undefined) => {
  const one = (process: RemoteProcess, call: RemoteCall) => ask(process.url, call, token)
  return {
    processes,
    one,
    /** The answers of processes, or why there is none. */
    all: (call: RemoteCall, among = processes) =>
      Effect.forEach(
        among,
        (process) => Effect.map(Effect.result(one(process, call)), (answer) => ({ process, answer })),
        { concurrency: "unbounded" },
      ),
    /** Those of the processes that answer now. */
    reachable: (among = processes) =>
      Effect.map(
        Effect.forEach(among, (process) => Effect.result(one(process, { method: "GET", path: "/livez" })), {
          concurrency: "unbounded",
        }),
        (answers) => among.filter((_, n) => answers[n]!._tag === "Success"),
      ),
    /** The processes of a module; of any, where it is left out. */
    of: (module: string | undefined) =>
      module === undefined ? processes : processes.filter(({ modules }) => modules.includes(module)),
  }
}

export type RemoteCalls = ReturnType<typeof callsTo>
export type RemoteAnswers = Effect.Success<ReturnType<RemoteCalls["all"]>>

/** The answer of the one process that has what is asked for. */
export const findIn =
  (calls: RemoteCalls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const answers = yield* calls.all(call)
      const found = foundIn(answers)
      return found === undefined ? yield* notFoundIn(answers) : passOn(found.answer)
    })

/** Acts on a dead letter in the process that has it. */
export const actIn =
  (calls: RemoteCalls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const answers = yield* calls.all({ method: "GET", path: pathOf(call).replace(/\/\w+\/?$/u, "") })
      const found = foundIn(answers)
      return found === undefined ? yield* notFoundIn(answers) : passOn(yield* calls.one(found.process, call))
    })

const foundIn = (answers: RemoteAnswers) => {
  for (const { process, answer } of answers) {
    if (answer._tag === "Success" && answer.success.status === 200) return { process, answer: answer.success }
  }
  return undefined
}

/** What no process has is not found; when one did not answer, that is not known. */
export const notFoundIn = (answers: RemoteAnswers): Reply => {
  const failed = answers.flatMap(({ answer }) => (answer._tag === "Failure" ? [answer.failure] : []))
  const refused = answers.flatMap(({ answer }) => (answer._tag === "Success" ? [answer.success] : []))
  if (failed[0] !== undefined) return Effect.fail(failed[0])
  return Effect.succeed(refused[0] === undefined ? responseOf(Kinds.notFound) : passOn(refused[0]))
}

/** The answer of the process of a module; where there is no such module, of any, which says what is wrong. */
export const toModule = (calls: RemoteCalls, module: string | undefined, call: RemoteCall): Reply => {
  const [process = calls.processes[0]] = module === undefined ? [] : calls.of(module)
  return process === undefined
    ? Effect.succeed(responseOf(Kinds.notFound))
    : Effect.map(calls.one(process, call), passOn)
}

/** None of the processes has answered. */
export const noneOf = (processes: ReadonlyArray<RemoteProcess>) =>
  new Unreachable({ why: `no answer from ${processes.map(({ url }) => url).join(", ")}` })

/** The answers that came, parsed, or the first one that refuses. */
export const answeredIn = (answers: RemoteAnswers) => {
  const answered = answers.flatMap(({ answer }) => (answer._tag === "Success" ? [answer.success] : []))
  const refused = answered.find(({ status }) => status !== 200)
  return refused === undefined
    ? { bodies: answered.map(({ text }) => JSON.parse(text) as unknown) }
    : { refused: passOn(refused) }
}
