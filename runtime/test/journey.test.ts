import { inOneProcess } from "../testing/deployment.ts"
import { testJourney } from "./journey.ts"

testJourney([inOneProcess])
