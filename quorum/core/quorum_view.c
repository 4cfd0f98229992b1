/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/quorum_view.h"

#include "lib/base/jsontext.h"

static gint descending(gconstpointer a, gconstpointer b)
{
    uint32_t va = *(const uint32_t *)a;
    uint32_t vb = *(const uint32_t *)b;

    return va > vb ? -1 : va < vb;
}

bool quorum_has_member(const QuorumFacts *f, uint32_t nodeid)
{
    for (uint32_t i = 0; i < f->n_members; i++) {
        if (f->members[i].nodeid == nodeid) {
            return true;
        }
    }
    return false;
}

uint32_t quorum_tolerates(const QuorumFacts *f)
{
    g_autoptr(GArray) votes = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    uint32_t left = f->total;
    uint32_t count = 0;

    if (!f->quorate) {
        return 0;
    }
    for (uint32_t i = 0; i < f->n_members; i++) {
        g_array_append_val(votes, f->members[i].votes);
    }
    /* The worst case decides: the nodes with most votes go first. */
    g_array_sort(votes, descending);
    for (guint i = 0; i < votes->len; i++) {
        uint32_t v = g_array_index(votes, uint32_t, i);

        if (v > left || left - v < f->quorum) {
            break;
        }
        left -= v;
        count++;
    }
    return count < f->n_members ? count : f->n_members - (f->n_members > 0);
}

static void heading(GString *out, const char *text)
{
    g_string_append_printf(out, "%s\n", text);
    for (const char *c = text; *c != '\0'; c++) {
        g_string_append_c(out, '-');
    }
    g_string_append_c(out, '\n');
}

static void line(GString *out, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void line(GString *out, const char *label, const char *fmt, ...)
{
    va_list ap;

    g_string_append_printf(out, "%-17s ", label);
    va_start(ap, fmt);
    g_string_append_vprintf(out, fmt, ap);
    va_end(ap);
    g_string_append_c(out, '\n');
}

static void append_flags(uint32_t flags, GString *out)
{
    static const struct {
        QuorumFlag flag;
        const char *text;
    } names[] = {
        {QUORUM_FLAG_TWO_NODE, "2Node "},
        {QUORUM_FLAG_QUORATE, "Quorate "},
        {QUORUM_FLAG_WAIT_FOR_ALL, "WaitForAll "},
        {QUORUM_FLAG_LAST_MAN_STANDING, "LastManStanding "},
        {QUORUM_FLAG_AUTO_TIE_BREAKER, "AutoTieBreaker "},
        {QUORUM_FLAG_ALLOW_DOWNSCALE, "AllowDownscale "},
        {QUORUM_FLAG_QDEVICE, "Qdevice "},
    };

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (flags & names[i].flag) {
            g_string_append(out, names[i].text);
        }
    }
}

static void append_qdevice(uint32_t flags, GString *out)
{
    g_autofree char *text = NULL;

    if (!(flags & QUORUM_FLAG_QDEVICE)) {
        text = g_strdup("NR");
    } else {
        text = g_strdup_printf("%s,%s,%s", flags & QUORUM_FLAG_QDEVICE_ALIVE ? "A" : "NA",
                               flags & QUORUM_FLAG_QDEVICE_VOTE ? "V" : "NV",
                               flags & QUORUM_FLAG_QDEVICE_MASTER_WINS ? "MW" : "NMW");
    }
    g_string_append_printf(out, "%10s ", text);
}

static bool has_qdevice(const QuorumFacts *f)
{
    return (f->flags & QUORUM_FLAG_QDEVICE) != 0;
}

/* The member table; `by_name`: decimal ids and node names, else hexadecimal ids and addresses. */
static void format_members(const QuorumFacts *f, bool by_name, GString *out)
{
    bool casts = (f->flags & QUORUM_FLAG_QDEVICE_VOTE) != 0;

    heading(out, "Membership information");
    g_string_append_printf(out, "%10s %10s ", "Nodeid", "Votes");
    if (has_qdevice(f)) {
        g_string_append_printf(out, "%10s ", "Qdevice");
    }
    g_string_append(out, "Name\n");
    for (uint32_t i = 0; i < f->n_members; i++) {
        const QuorumMember *m = &f->members[i];
        const char *name = by_name ? m->name : m->address;

        if (by_name) {
            g_string_append_printf(out, "%10u %10u ", m->nodeid, m->votes);
        } else {
            g_string_append_printf(out, "0x%08x %10u ", m->nodeid, m->votes);
        }
        if (has_qdevice(f)) {
            append_qdevice(m->flags, out);
        }
        g_string_append_printf(out, "%s%s\n", *name != '\0' ? name : m->name,
                               m->nodeid == f->nodeid ? " (local)" : "");
    }
    if (has_qdevice(f)) {
        g_string_append_printf(out, by_name ? "%10u %10u " : "0x%08x %10u ", 0u,
                               casts ? f->qdevice_votes : 0);
        g_string_append_printf(out, "%10s %s", "",
                               f->qdevice_name != NULL ? f->qdevice_name : "Qdevice");
        if (!casts) {
            g_string_append_printf(out, " (votes %u)", f->qdevice_votes);
        }
        g_string_append_c(out, '\n');
    }
}

void quorum_format_status(const QuorumFacts *f, GString *out)
{
    uint32_t more = quorum_tolerates(f);

    heading(out, "Cluster information");
    line(out, "Name:", "%s", f->cluster_name != NULL ? f->cluster_name : "");
    line(out, "Config Version:", "%" G_GINT64_FORMAT,
         f->config_version >= 0 ? f->config_version : -1);
    line(out, "Transport:", "%s", f->transport != NULL ? f->transport : "knet");
    line(out, "Secure auth:", "%s", f->secauth != NULL ? f->secauth : "off");
    line(out, "Fault tolerance:", "%u more node%s may fail%s", more, more == 1 ? "" : "s",
         f->quorate ? "" : " (no quorum now)");
    g_string_append_c(out, '\n');
    heading(out, "Quorum information");
    line(out, "Date:", "%s", f->date);
    line(out, "Quorum provider:", "%s", f->provider);
    line(out, "Nodes:", "%u", f->n_members);
    line(out, "Node ID:", "0x%08x", f->nodeid);
    line(out, "Ring ID:", "%x.%" G_GINT64_MODIFIER "x", f->ring_nodeid, f->ring_seq);
    line(out, "Quorate:", "%s", f->quorate ? "Yes" : "No");
    g_string_append_c(out, '\n');
    heading(out, "Votequorum information");
    line(out, "Expected votes:", "%u", f->expected);
    line(out, "Highest expected:", "%u", f->highest_expected);
    line(out, "Total votes:", "%u", f->total);
    line(out, "Quorum:", "%u %s", f->quorum, f->quorate ? " " : "Activity blocked");
    g_string_append_printf(out, "%-17s ", "Flags:");
    append_flags(f->flags, out);
    g_string_append(out, "\n\n");
    format_members(f, false, out);
}

void quorum_format_nodes(const QuorumFacts *f, GString *out)
{
    g_string_append_c(out, '\n');
    format_members(f, true, out);
}

static void json_string(GString *out, const char *name, const char *value, const char *tail)
{
    g_string_append_printf(out, "\"%s\": ", name);
    json_append_string(out, value);
    g_string_append(out, tail);
}

static void json_members(const QuorumFacts *f, const char *indent, GString *out)
{
    g_string_append(out, "[");
    for (uint32_t i = 0; i < f->n_members; i++) {
        const QuorumMember *m = &f->members[i];

        g_string_append_printf(out, "%s\n%s  {\"nodeid\": %u, ", i > 0 ? "," : "", indent,
                               m->nodeid);
        json_string(out, "name", m->name, ", ");
        json_string(out, "address", m->address, ", ");
        g_string_append_printf(out, "\"votes\": %u, \"local\": %s}", m->votes,
                               m->nodeid == f->nodeid ? "true" : "false");
    }
    g_string_append_printf(out, "%s%s]", f->n_members > 0 ? "\n" : "",
                           f->n_members > 0 ? indent : "");
}

void quorum_format_nodes_json(const QuorumFacts *f, GString *out)
{
    json_members(f, "", out);
    g_string_append_c(out, '\n');
}

void quorum_format_status_json(const QuorumFacts *f, GString *out)
{
    g_autoptr(GString) flags = g_string_new(NULL);

    append_flags(f->flags, flags);
    g_strchomp(flags->str);
    g_string_append(out, "{\n  ");
    json_string(out, "name", f->cluster_name != NULL ? f->cluster_name : "", ",\n  ");
    g_string_append_printf(out, "\"config_version\": %" G_GINT64_FORMAT ",\n  ", f->config_version);
    json_string(out, "transport", f->transport != NULL ? f->transport : "knet", ",\n  ");
    json_string(out, "secauth", f->secauth != NULL ? f->secauth : "off", ",\n  ");
    json_string(out, "provider", f->provider, ",\n  ");
    g_string_append_printf(out, "\"nodeid\": %u,\n  ", f->nodeid);
    g_string_append_printf(out, "\"ring_id\": \"%x.%" G_GINT64_MODIFIER "x\",\n  ", f->ring_nodeid,
                           f->ring_seq);
    g_string_append_printf(out, "\"quorate\": %s,\n  ", f->quorate ? "true" : "false");
    g_string_append_printf(out, "\"may_fail\": %u,\n  ", quorum_tolerates(f));
    g_string_append_printf(out, "\"expected_votes\": %u,\n  \"highest_expected\": %u,\n  ",
                           f->expected, f->highest_expected);
    g_string_append_printf(out, "\"total_votes\": %u,\n  \"quorum\": %u,\n  ", f->total, f->quorum);
    json_string(out, "flags", flags->str, ",\n  ");
    g_string_append_printf(
        out, "\"qdevice_votes\": %u,\n  \"members\": ", has_qdevice(f) ? f->qdevice_votes : 0);
    json_members(f, "  ", out);
    g_string_append(out, "\n}\n");
}
