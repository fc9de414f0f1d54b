import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { unlessSame } from "./etag.ts"

const overview = (checked_at: string, waits: ReadonlyArray<string> = []) =>
  HttpServerResponse.jsonUnsafe({ checked_at, waits })

const answerTo = (request: RequestInit, answer: HttpServerResponse.HttpServerResponse) =>
  Effect.provideService(
    unlessSame(Effect.succeed(answer)),
    HttpServerRequest.HttpServerRequest,
    HttpServerRequest.fromWeb(new Request("http://localhost/admin/overview", request)),
  )

const again = (etag: string, answer: HttpServerResponse.HttpServerResponse) =>
  answerTo({ headers: { "if-none-match": etag } }, answer)

describe("An answer about the state of the moment", () => {
  it.effect("is sent again only when more than the time of the look has changed", () =>
    Effect.gen(function* () {
      const first = yield* answerTo({}, overview("2026-01-02T03:04:05.000Z"))
      const etag = first.headers["etag"]!
      expect([first.status, etag, first.headers["cache-control"]]).toEqual([
        200,
        expect.stringMatching(/^W\/"[\w+/]{43}="$/u),
        "no-store",
      ])
      const later = overview("2026-01-02T03:04:06.000Z")
      for (const known of [etag, etag.slice(2), `"other", ${etag}`]) {
        const same = yield* again(known, later)
        expect([same.status, same.body._tag, same.headers]).toMatchObject([
          304,
          "Empty",
          { etag, "cache-control": "no-store" },
        ])
      }
      expect((yield* again('"other"', later)).status).toBe(200)
      const other = yield* again(etag, overview("2026-01-02T03:04:06.000Z", ["lag"]))
      expect(other.status).toBe(200)
      expect(other.headers["etag"]).not.toBe(etag)
    }),
  )

  it.effect("takes only its own time for the time of the look", () =>
    Effect.gen(function* () {
      const entry = (checked_at: string) => HttpServerResponse.jsonUnsafe({ id: 1, data: { checked_at } })
      const { headers } = yield* answerTo({}, entry("1"))
      expect((yield* again(headers["etag"]!, entry("2"))).status).toBe(200)
    }),
  )

  it.effect("has a tag only as the success of a read", () =>
    Effect.gen(function* () {
      const changed = yield* answerTo({ method: "POST" }, overview("1"))
      const refused = yield* answerTo({}, HttpServerResponse.jsonUnsafe({}, { status: 404 }))
      expect([changed.headers["etag"], refused.headers["etag"]]).toEqual([undefined, undefined])
      expect([changed.headers["cache-control"], refused.headers["cache-control"]]).toEqual(["no-store", "no-store"])
    }),
  )
})
