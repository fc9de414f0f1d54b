import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Logger } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { api } from "../../../modules/order/contract/api.ts"
import { http } from "../../../modules/order/http.ts"
import { Orders } from "../../../modules/order/Orders.ts"
import { routesOf } from "../../http/openapi/document.ts"
import * as edge from "../../http/edge/edge.ts"
import * as idempotencyTable from "../../http/edge/idempotencyTable.ts"
import { Page } from "../../http/Page.ts"
import { problemsEverywhere } from "../../http/edge/problems.ts"
import { serve } from "../../http/server/server.ts"
import { Database } from "../../sql/Database.ts"
import { observeRequests } from "../../telemetry/http.ts"

/** The server behind `validatedPost`: `galleria` or `bare`, as the argument says; sends its port. */
const answer = {
  id: 1,
  user_id: 1,
  amount: "100.50",
  status: "created" as const,
  processed: false,
  items: [],
  created_at: new Date(0),
}

/** The order module's endpoints with all that stands before them, over a store that keeps nothing. */
const galleria = Effect.gen(function* () {
  const without = Layer.mergeAll(
    Layer.mock(Orders, { place: (_order, claim) => Effect.succeed(claim.answer(answer)) }),
    idempotencyTable.layer,
    Layer.mock(Page, { seal: () => "" }),
    edge.layer,
  ).pipe(
    Layer.provide(
      Layer.merge(
        Layer.mock(Database, {
          writable: Effect.void,
          bell: () => ({ ring: Effect.void, next: Effect.never, opens: () => Effect.void, claim: Effect.void }),
        }),
        // Asked only for requests with a key, of which there are none.
        Layer.succeed(SqlClient.SqlClient, undefined as never),
      ),
    ),
  )
  yield* Layer.build(HttpApiBuilder.layer(api).pipe(Layer.provide(http), Layer.provide(without)))
  const routes = routesOf([{ api }]).map((route) => ({ ...route, module: "order" }))
  yield* observeRequests(routes)
  yield* problemsEverywhere(routes)
  return (yield* Effect.withTracerEnabled(serve({ host: "127.0.0.1", port: 0 }), false)).port
}).pipe(Effect.provide(Layer.mergeAll(HttpRouter.layer, NodeHttpServer.layerHttpServices, Logger.layer([]))))

/** What there is to do at least: read, parse, answer. */
const bare = async () => {
  const server = createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const order: unknown = JSON.parse(Buffer.concat(parts).toString())
      const text = JSON.stringify({ ...answer, user_id: (order as { user_id: number }).user_id })
      response.writeHead(201, {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
        location: "/orders/1",
      })
      response.end(text)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return (server.address() as AddressInfo).port
}

process.on("disconnect", () => process.exit(0))
if (process.argv[2] === "bare") process.send!(await bare())
else {
  await Effect.runPromise(
    galleria.pipe(
      Effect.flatMap((port) =>
        Effect.andThen(
          Effect.sync(() => process.send!(port)),
          Effect.never,
        ),
      ),
      Effect.scoped,
    ),
  )
}
