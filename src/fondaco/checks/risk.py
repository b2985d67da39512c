"""Risk: every standing is what its decisions say, and every decision of the rules replays."""

from fondaco import risk
from fondaco.core.checking import Check, Fault, Findings, patient
from fondaco.core.db import Connection

RISK: tuple[Check, ...] = (
    Check(
        "I33",
        "standing of {party}",
        "is {tier}, and its last decision says {after}",
        """SELECT s.party, s.tier, coalesce(d.after, 'NORMAL') AS after FROM risk.standing s
           LEFT JOIN LATERAL (SELECT d.id, d.after FROM risk.decision d WHERE d.party = s.party
                              ORDER BY d.id DESC LIMIT 1) d ON true
           WHERE s.tier <> coalesce(d.after, 'NORMAL') OR s.decision_id IS DISTINCT FROM d.id""",
    ),
    Check(
        "I33",
        "decision {id}",
        "of {party} begins at {before}, and the one before it ended at {was}",
        """SELECT t.id, t.party, t.before, t.was FROM (
             SELECT d.id, d.party, d.before, lag(d.after, 1, 'NORMAL')
               OVER (PARTITION BY d.party ORDER BY d.id) AS was FROM risk.decision d) t
           WHERE t.before <> t.was""",
    ),
    Check(
        "I33",
        "decision {id}",
        "bans {party} or ends a ban, and no two people agreed upon it",
        """SELECT d.id, d.party FROM risk.decision d WHERE 'BANNED' IN (d.before, d.after)
           AND NOT EXISTS (SELECT 1 FROM approvals.request r WHERE r.ref = d.party
             AND r.kind = CASE d.after WHEN 'BANNED' THEN 'risk.ban' ELSE 'risk.unban' END
             AND r.state = 'APPROVED' AND 'user:' || r.decided_by = d.actor
             AND r.asked_by IS DISTINCT FROM r.decided_by)""",
    ),
    Check(
        "I33",
        "store {slug}",
        "is {state} though its tier {tier} hides it",
        """SELECT l.slug, l.state, s.tier FROM risk.standing s JOIN sellers.seller l ON l.id = s.seller_id
           JOIN risk.enforcement e ON e.side = 'seller' AND e.tier = s.tier
           WHERE e.hidden AND l.state = 'OPEN'""",
    ),
    Check(
        "I33",
        "shared {kind} {mark}",
        "is counted with {accounts} accounts, and {found} have it",
        """SELECT coalesce(t.kind, s.kind) AS kind, coalesce(t.mark, s.mark) AS mark,
             coalesce(s.accounts, 0) AS accounts, coalesce(t.found, 0) AS found
           FROM risk.shared s FULL JOIN (SELECT kind, mark, count(*) AS found FROM risk.tie
             GROUP BY kind, mark HAVING count(*) > 1) t ON (t.kind, t.mark) = (s.kind, s.mark)
           WHERE s.accounts IS DISTINCT FROM t.found""",
    ),
)
_RULE = "I33 decision {id}: replays otherwise than it was decided"


async def check_replay(conn: Connection, findings: Findings) -> None:
    """Every decision of the rules again, from the signals it was made on."""
    last = 0
    async with patient(conn, findings, _RULE, "I33: decisions replayed"):
        while rows := await conn.fetch(
            "SELECT id FROM risk.decision WHERE id > $1 AND actor = 'rules' ORDER BY id LIMIT 500", last
        ):
            for row in rows:
                last = row["id"]
                decision, again, verdict = await risk.replay(conn, last)
                if str(again) != decision.after or verdict.score != decision.score:
                    words = (
                        f"said {decision.after} at {decision.score}, replays as {again} at {verdict.score}"
                    )
                    findings.faults.append(Fault("I33", f"decision {last}", words, _RULE))
