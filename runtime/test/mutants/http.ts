import type { Mutant } from "./Mutant.ts"

const adminTest = "runtime/http/Admin.test.ts"
const intakeTest = "runtime/http/server/intake.whole.test.ts"
const idempotencyTest = "runtime/http/Idempotency.test.ts"

const admin: ReadonlyArray<Mutant> = [
  {
    name: "the admin token is compared over the shorter length",
    file: "runtime/http/Admin.ts",
    find: "return timingSafeEqual(digest(given), digest(right))",
    replace: `const length = Math.min(given.length, right.length)
  return timingSafeEqual(digest(given.slice(0, length)), digest(right.slice(0, length)))`,
    breaks: "One character opens /admin.",
    test: adminTest,
    fails: "/admin with a token > is closed with",
  },
  {
    name: "a request without a token passes",
    file: "runtime/http/Admin.ts",
    find: `?? { rejected: "unauthorized" }`,
    replace: `?? { actor: "token" }`,
    breaks: "Anybody opens /admin.",
    test: adminTest,
    fails: "/admin with a token > is closed without it, at every address, whatever else is wrong with the request",
  },
  {
    name: "an empty token file means no token",
    file: "runtime/config.ts",
    find: `if (value === "") faults.push(\`\${name}: the file is empty\`)
        else`,
    replace: `if (value !== "")`,
    breaks: "A secret that is not there opens /admin to this machine.",
    test: "runtime/test/whole/start-stop.test.ts",
    fails: "Starting > takes a setting from a file, and names a file that cannot be read",
  },
  {
    name: "tokens may be guessed without end",
    file: "runtime/http/Admin.ts",
    find: "if (wait > 0) return wait",
    replace: "",
    breaks: "A short token is guessed.",
    test: adminTest,
    fails: "/admin with a token > answers 429 to too many wrong ones, and still opens to who has shown the right one",
  },
  {
    name: "a request through a proxy is of this machine",
    file: "runtime/http/Admin.ts",
    find: "!Object.keys(asked.headers).some((name) => ofProxy.test(name))",
    replace: "true",
    breaks: "A proxy on this machine opens /admin to the world.",
    test: adminTest,
    fails: "/admin without a token > is closed with",
  },
  {
    name: "a page of another server may ask",
    file: "runtime/http/Admin.ts",
    find: "    isOwn &&\n",
    replace: "",
    breaks: "Any page that the operator opens can press the buttons.",
    test: adminTest,
    fails: "/admin without a token > is closed with",
  },
  {
    name: "a name that leads here by DNS may ask",
    file: "runtime/http/Admin.ts",
    find: "    loopbackName.test(host) &&\n",
    replace: "",
    breaks: "A page rebinds its name to this machine and presses the buttons.",
    test: adminTest,
    fails: "/admin without a token > is closed with",
  },
]

const consoleTest = "runtime/console/console.test.ts"

const consoleMutants: ReadonlyArray<Mutant> = [
  {
    name: "a page of another port may act with the session",
    file: "runtime/http/session.ts",
    find: 'return headers["origin"] === own &&',
    replace: "return",
    breaks: "Another server on the same host name redrives with the operator's session.",
    test: consoleTest,
    fails: "The console with a token > lets its session change things from its own pages only",
  },
  {
    name: "a session never expires",
    file: "runtime/http/session.ts",
    find: "|| Number(expiry) * 1_000 <= now",
    replace: "",
    breaks: "A cookie that leaked opens /admin until the token changes.",
    test: "runtime/http/session.test.ts",
    fails: "A session > has the name given at login, until it expires",
  },
  {
    name: "a login goes on to any address",
    file: "runtime/console/console.ts",
    find: "/^\\/console(?:[/?][!-~]*)?$/u.test(address)",
    replace: `address !== ""`,
    breaks: "A link with a form's field sends the operator to another site after the login.",
    test: consoleTest,
    fails: "The console with a token > goes on to a view after the login, and nowhere else",
  },
]

const bodies: ReadonlyArray<Mutant> = [
  {
    name: "a body is read before its request is refused for too much work",
    file: "runtime/http/server/intake.ts",
    find: "if (!mayHaveBody(request) || working >= mostAtOnce) return work(request, response)",
    replace: "if (!mayHaveBody(request)) return work(request, response)",
    breaks: "A body that never ends is waited for while there is too much to do.",
    test: intakeTest,
    fails:
      "A request that is refused before its body is there > is answered 503 at once while there is too much to do, though its body never ends",
  },
  {
    name: "a body is read before its headers are looked at",
    file: "runtime/http/server/body.ts",
    find: "if (fault !== undefined) return refuse(fault)",
    replace: `if (fault !== undefined) return void request.on("end", () => refuse(fault)).resume()`,
    breaks: "A declared length of 1 GB is waited for.",
    test: intakeTest,
    fails:
      "A request that is refused before its body is there > is answered at once when its length says that it is too large, without being waited for",
  },
  {
    name: "what is received is not held to a sum",
    file: "runtime/http/server/body.ts",
    find: "if (held > mostHeld) end(noRoom)",
    replace: "",
    breaks: "Slow bodies fill the memory.",
    test: intakeTest,
    fails:
      "Bodies that are being received > are held to a sum: more are refused, small ones go on, and room comes back",
  },
  {
    name: "the room of a body never comes back",
    file: "runtime/http/server/body.ts",
    find: "      held -= mine\n",
    replace: "",
    breaks: "After a while all large bodies are refused.",
    test: intakeTest,
    fails:
      "Bodies that are being received > are held to a sum: more are refused, small ones go on, and room comes back",
  },
]

const idempotency: ReadonlyArray<Mutant> = [
  {
    name: "a key with another body is answered as before",
    file: "runtime/http/edge/idempotencyTable.ts",
    find: "if (stored.hash !== key.hash) return yield* new IdempotencyKeyReused({})",
    replace: "",
    breaks: "A client takes one order for another.",
    test: idempotencyTest,
    fails: "compares bodies as JSON, not as text",
  },
  {
    name: "bodies are compared as text",
    file: "runtime/http/edge/idempotencyTable.ts",
    find: "update(canonical(body))",
    replace: "update(body)",
    breaks: "A client whose library orders members otherwise is refused.",
    test: idempotencyTest,
    fails: "compares bodies as JSON, not as text",
  },
  {
    name: "a key belongs to no path",
    file: "runtime/http/edge/idempotencyTable.ts",
    find: "`${method} ${url.split",
    replace: '`${method} ${"" && url.split',
    breaks: "A user is given the answer of another.",
    test: idempotencyTest,
    fails: "belongs to the path that was asked: another user's request gets its own answer",
  },
  {
    name: "a key is never free again",
    file: "runtime/http/edge/idempotencyTable.ts",
    find: "where idempotency.created_at <= ${old}",
    replace: "where false",
    breaks: "A key is refused after 24 hours.",
    test: idempotencyTest,
    fails: "is kept for 24 hours, and free after them although its row is still there",
  },
  {
    name: "an answer is kept in no transaction of its work",
    file: "runtime/http/edge/idempotencyTable.ts",
    find: `      return transaction(
        Effect.andThen(
          claim(key),
          Effect.tap(answered, (done) => store(key, done.answer)),
        ),
      )`,
    replace: `      return Effect.tap(transaction(answered), (done) =>
        Effect.andThen(Effect.ignore(claim(key)), store(key, done.answer)),
      )`,
    breaks: "Requests at the same time are done twice.",
    test: idempotencyTest,
    fails: "lets one of many requests at once do the work",
  },
]

const consoleCalls: ReadonlyArray<Mutant> = [
  {
    name: "public calls of the console need no access",
    file: "runtime/console/publicCalls.ts",
    find: `if ("rejected" in verdict) return rejection(verdict.rejected)`,
    replace: "",
    breaks: "A request without the token reads users and places orders.",
    test: "runtime/console/publicCalls.test.ts",
    fails: "/console/api > makes no other call, and none without access",
  },
  {
    name: "a dead letter is not found although a process does not answer",
    file: "runtime/remote/calls.ts",
    find: "if (failed[0] !== undefined) return Effect.fail(failed[0])",
    replace: "",
    breaks: "An operator takes a dead letter for deleted while its module is unavailable.",
    test: "runtime/remote/admin.test.ts",
    fails: "What no process has is unavailable while one does not answer",
  },
  {
    name: "a page of records begins at what was read, not at what was looked at",
    file: "runtime/admin/events/scan.ts",
    find: "(partition.loaded.at(-1)?.offset ?? partition.before - 1) + 1]",
    replace: "partition.before]",
    breaks: "Records are missing between two pages of the log.",
    test: "runtime/admin/events/scan.test.ts",
    fails: "scan > continues where it was although records were appended meanwhile",
  },
]

export const ofHttp: ReadonlyArray<Mutant> = [...admin, ...consoleMutants, ...consoleCalls, ...bodies, ...idempotency]
