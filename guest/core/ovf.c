/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/ovf.h"

#include <errno.h>
#include <string.h>

#define MIB            (UINT64_C(1) << 20)
#define GIB            1073741824.0
#define SIZE_MAX_BYTES (UINT64_C(1) << 60)
#define NAME_MAX_LEN   63

/* Resource types of CIM. */
#define RES_CPU    3
#define RES_MEMORY 4
#define RES_IDE    5
#define RES_SCSI   6
#define RES_CARD   10
#define RES_DISK   17
#define RES_SATA   20

/* -------------------------------------------------------------------- tree */

/* Names without their prefixes: products do not agree on them. */
typedef struct Node {
    char *name;
    GHashTable *attrs; /* char * -> char * */
    GString *text;
    GPtrArray *children;
} Node;

typedef struct Reader {
    GPtrArray *open; /* Node *, borrowed: from the root to the present one */
    Node *root;
    guint nodes;
} Reader;

static void node_free(void *data)
{
    Node *n = data;

    if (n != NULL) {
        g_free(n->name);
        g_hash_table_unref(n->attrs);
        g_string_free(n->text, TRUE);
        g_ptr_array_unref(n->children); /* as deep as OVF_DEPTH_MAX */
        g_free(n);
    }
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)

static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static void on_start(GMarkupParseContext *context,
                     const char *name,
                     const char **keys,
                     const char **values,
                     void *data,
                     GError **error)
{
    Reader *r = data;
    Node *n;

    (void)context;
    if (r->open->len >= OVF_DEPTH_MAX || r->nodes >= OVF_NODES_MAX) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT,
                    "more elements than any real description has");
        return;
    }
    n = g_new0(Node, 1);
    n->name = g_strdup(local_name(name));
    n->attrs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    n->text = g_string_new(NULL);
    n->children = g_ptr_array_new_with_free_func(node_free);
    for (; *keys != NULL; keys++, values++) {
        g_hash_table_insert(n->attrs, g_strdup(local_name(*keys)), g_strdup(*values));
    }
    if (r->open->len > 0) {
        Node *above = r->open->pdata[r->open->len - 1];
        g_ptr_array_add(above->children, n);
    } else {
        r->root = n;
    }
    g_ptr_array_add(r->open, n);
    r->nodes++;
}

static void on_end(GMarkupParseContext *context, const char *name, void *data, GError **error)
{
    Reader *r = data;

    (void)context;
    (void)name;
    (void)error;
    g_ptr_array_set_size(r->open, (int)r->open->len - 1);
}

static void
on_text(GMarkupParseContext *context, const char *text, gsize len, void *data, GError **error)
{
    Reader *r = data;

    (void)context;
    (void)error;
    if (r->open->len > 0) {
        Node *n = r->open->pdata[r->open->len - 1];
        g_string_append_len(n->text, text, (gssize)len);
    }
}

static void
on_other(GMarkupParseContext *context, const char *text, gsize len, void *data, GError **error)
{
    (void)context;
    (void)len;
    (void)data;
    if (g_str_has_prefix(text, "<!DOCTYPE")) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT,
                    "document types are not taken");
    }
}

static int read_tree(const char *text, size_t len, Node **ret, Err *err)
{
    static const GMarkupParser parser = {
        .start_element = on_start, .end_element = on_end, .text = on_text, .passthrough = on_other};
    Reader r = {.open = g_ptr_array_new()};
    GMarkupParseContext *context = g_markup_parse_context_new(
        &parser, G_MARKUP_TREAT_CDATA_AS_TEXT | G_MARKUP_PREFIX_ERROR_POSITION, &r, NULL);
    g_autoptr(GError) error = NULL;
    bool good;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* byte order mark */
        len -= 3;
    }
    /* GLib's parser complains of itself about names that are no text. */
    good = len > 0 && g_utf8_validate(text, (gssize)len, NULL) &&
           g_markup_parse_context_parse(context, text, (gssize)len, &error) &&
           g_markup_parse_context_end_parse(context, &error);
    g_markup_parse_context_free(context);
    g_ptr_array_unref(r.open);
    if (!good || r.root == NULL) {
        node_free(r.root);
        return err_setf(err, -EBADMSG, "no XML in UTF-8: %s",
                        error != NULL ? error->message : "empty, or other bytes");
    }
    *ret = r.root;
    return 0;
}

/* ----------------------------------------------------------------- looking */

/* The first one below `n`, at any depth; NULL when there is none. */
static const Node *find(const Node *n, const char *name)
{
    for (guint i = 0; n != NULL && i < n->children->len; i++) {
        const Node *child = n->children->pdata[i];
        const Node *deeper = strcmp(child->name, name) == 0 ? child : find(child, name);
        if (deeper != NULL) {
            return deeper;
        }
    }
    return NULL;
}

/* All of them, in their order: const Node *. */
static void find_all(const Node *n, const char *name, GPtrArray *ret)
{
    for (guint i = 0; n != NULL && i < n->children->len; i++) {
        Node *child = n->children->pdata[i];
        if (strcmp(child->name, name) == 0) {
            g_ptr_array_add(ret, child);
        }
        find_all(child, name, ret);
    }
}

static const char *attr(const Node *n, const char *key)
{
    return n != NULL ? g_hash_table_lookup(n->attrs, key) : NULL;
}

/* Text of a direct child without blanks around it, or "". */
static const char *field(const Node *n, const char *name)
{
    for (guint i = 0; i < n->children->len; i++) {
        const Node *child = n->children->pdata[i];
        if (strcmp(child->name, name) == 0) {
            return g_strstrip(child->text->str);
        }
    }
    return "";
}

static const Node *with_attr(const GPtrArray *nodes, const char *key, const char *value)
{
    for (guint i = 0; i < nodes->len; i++) {
        if (g_strcmp0(attr(nodes->pdata[i], key), value) == 0) {
            return nodes->pdata[i];
        }
    }
    return NULL;
}

/* ----------------------------------------------------------------- numbers */

/* "byte * 2^20", "MegaBytes", "GB" -> bytes; 0 when it is none of them. */
static uint64_t unit_bytes(const char *unit)
{
    static const char letters[] = "kmgt";
    const char *power = strchr(unit, '^');
    const char *letter;

    if (power != NULL) {
        bool two = power > unit && power[-1] == '2';
        guint64 n = g_ascii_strtoull(power + 1, NULL, 10);
        return two && n < 60 ? UINT64_C(1) << n : 0;
    }
    if (g_ascii_strcasecmp(unit, "byte") == 0 || g_ascii_strcasecmp(unit, "bytes") == 0) {
        return 1;
    }
    letter = *unit != '\0' ? strchr(letters, g_ascii_tolower(*unit)) : NULL;
    return letter != NULL ? UINT64_C(1) << (10 * (letter - letters + 1)) : 0;
}

static int amount(const char *what, const char *number, const char *unit, uint64_t *ret, Err *err)
{
    guint64 n;
    uint64_t bytes = unit_bytes(unit);

    if (!g_ascii_string_to_unsigned(number, 10, 0, SIZE_MAX_BYTES, &n, NULL) || bytes == 0 ||
        n > SIZE_MAX_BYTES / bytes) {
        return err_setf(err, -EINVAL, "%s: '%.40s' of '%.40s' is no size", what, number, unit);
    }
    *ret = n * bytes;
    return 0;
}

/* ------------------------------------------------------------------- parts */

typedef struct Build {
    Ovf *ovf;
    GPtrArray *files;  /* const Node * */
    GPtrArray *images; /* Disk */
    GPtrArray *items;  /* of the hardware, as far as they count */
    int used[3];       /* slots of ide, sata, scsi */
} Build;

static void ovf_disk_free(void *data)
{
    OvfDisk *d = data;

    g_free(d->slot);
    g_free(d->href);
    g_free(d->path);
    g_free(d);
}

void ovf_free(Ovf *o)
{
    if (o != NULL) {
        g_free(o->name);
        g_free(o->ostype);
        g_free(o->scsihw);
        g_ptr_array_unref(o->disks);
        g_free(o);
    }
}

/* A name of the network's kind, of what is there. */
static char *guest_name(const char *text)
{
    GString *out = g_string_new(NULL);

    for (; *text != '\0' && out->len < NAME_MAX_LEN; text++) {
        char last = out->len > 0 ? out->str[out->len - 1] : '-';
        if (g_ascii_isalnum(*text)) {
            g_string_append_c(out, *text);
        } else if (last != '-' && last != '.') {
            g_string_append_c(out, *text == '.' ? '.' : '-');
        }
    }
    while (out->len > 0 && !g_ascii_isalnum(out->str[out->len - 1])) {
        g_string_truncate(out, out->len - 1);
    }
    return g_string_free(out, out->len == 0);
}

static char *os_type(const Node *system)
{
    static const char *const words[][2] = {
        {"windows11", "win11"},   {"windows2022", "win11"}, {"windows2025", "win11"},
        {"2019srvnext", "win11"}, {"windows10", "win10"},   {"windows9", "win10"},
        {"windows2016", "win10"}, {"windows2019", "win10"}, {"windows8", "win8"},
        {"windows2012", "win8"},  {"windows7", "win7"},     {"windows2008r2", "win7"},
        {"windows", "win10"},     {"solaris", "solaris"},   {"linux", "l26"},
        {"ubuntu", "l26"},        {"debian", "l26"},        {"centos", "l26"},
        {"rhel", "l26"},          {"redhat", "l26"},        {"suse", "l26"},
        {"sles", "l26"},          {"fedora", "l26"},        {"alpine", "l26"}};
    const Node *section = find(system, "OperatingSystemSection");
    const char *kind = attr(section, "osType");
    g_autofree char *text =
        section != NULL ? g_ascii_strdown(kind != NULL ? kind : field(section, "Description"), -1)
                        : g_strdup("");
    g_auto(GStrv) parts = g_strsplit_set(text, " _-()", -1);
    g_autofree char *dense = g_strjoinv("", parts);

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strstr(dense, words[i][0]) != NULL) {
            return g_strdup(words[i][1]);
        }
    }
    return NULL;
}

/* Which of the configurations that a description may offer. */
static const char *chosen(const Node *root)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    const Node *preferred;

    find_all(find(root, "DeploymentOptionSection"), "Configuration", all);
    preferred = with_attr(all, "default", "true");
    return attr(preferred != NULL || all->len == 0 ? preferred : all->pdata[0], "id");
}

static void list_items(Build *b, const Node *root, const Node *system)
{
    static const char *const names[] = {"Item", "StorageItem", "EthernetPortItem"};
    const Node *hardware = find(system, "VirtualHardwareSection");
    const char *wanted = chosen(root);

    for (guint i = 0; hardware != NULL && i < hardware->children->len; i++) {
        Node *item = hardware->children->pdata[i];
        const char *only = attr(item, "configuration");
        g_auto(GStrv) list = g_strsplit(only != NULL ? only : "", " ", -1);
        bool counts =
            only == NULL || (wanted != NULL && g_strv_contains((const char *const *)list, wanted));
        for (size_t k = 0; counts && k < G_N_ELEMENTS(names); k++) {
            if (strcmp(item->name, names[k]) == 0) {
                g_ptr_array_add(b->items, item);
            }
        }
    }
}

static int kind_of(const Node *item)
{
    return (int)g_ascii_strtoll(field(item, "ResourceType"), NULL, 10);
}

static const Node *item_of(const Build *b, const char *id)
{
    for (guint i = 0; i < b->items->len; i++) {
        if (*id != '\0' && strcmp(field(b->items->pdata[i], "InstanceID"), id) == 0) {
            return b->items->pdata[i];
        }
    }
    return NULL;
}

static int take_processors(Build *b, const Node *item, Err *err)
{
    guint64 n;
    guint64 per_socket;

    if (!g_ascii_string_to_unsigned(field(item, "VirtualQuantity"), 10, 1, 8192, &n, NULL)) {
        return err_setf(err, -EINVAL, "'%.40s' is no number of processors",
                        field(item, "VirtualQuantity"));
    }
    b->ovf->cores = (int64_t)n;
    if (g_ascii_string_to_unsigned(field(item, "CoresPerSocket"), 10, 1, n, &per_socket, NULL) &&
        n % per_socket == 0) {
        b->ovf->cores = (int64_t)per_socket;
        b->ovf->sockets = (int64_t)(n / per_socket);
    }
    return 0;
}

static int take_memory(Build *b, const Node *item, Err *err)
{
    const char *unit = field(item, "AllocationUnits");
    uint64_t bytes = 0;
    int r =
        amount("memory", field(item, "VirtualQuantity"), *unit != '\0' ? unit : "MB", &bytes, err);

    if (r == 0 && (bytes < 16 * MIB || bytes / MIB > INT32_MAX)) {
        r = err_setf(err, -EINVAL, "a guest cannot have this memory: %.40s %.40s",
                     field(item, "VirtualQuantity"), unit);
    }
    b->ovf->memory_mib = (int64_t)(bytes / MIB);
    return r;
}

/* A disk is on the bus of the controller that it names; of its place there only the order counts,
 * as each product numbers them its own way. */
static int choose_slot(Build *b, const Node *item, char **ret, Err *err)
{
    static const struct {
        int kind;
        const char *name;
        int most;
    } buses[3] = {{RES_IDE, "ide", 4}, {RES_SATA, "sata", 6}, {RES_SCSI, "scsi", 31}};
    const Node *controller = item_of(b, field(item, "Parent"));
    int kind = controller != NULL ? kind_of(controller) : RES_SCSI;
    size_t bus = 2;

    for (size_t i = 0; i < G_N_ELEMENTS(buses); i++) {
        bus = buses[i].kind == kind ? i : bus;
    }
    if (b->used[bus] >= buses[bus].most) {
        return err_setf(err, -ENOTSUP, "more than %d disks on %s", buses[bus].most,
                        buses[bus].name);
    }
    *ret = g_strdup_printf("%s%d", buses[bus].name, b->used[bus]++);
    if (bus == 2 && controller != NULL && b->ovf->scsihw == NULL) {
        bool para = g_ascii_strcasecmp(field(controller, "ResourceSubType"), "VirtualSCSI") == 0;
        b->ovf->scsihw = g_strdup(para ? "pvscsi" : "lsi");
    }
    return 0;
}

static int take_file(const Build *b, const char *ref, OvfDisk *disk, Err *err)
{
    const Node *file = with_attr(b->files, "id", ref);
    const char *href = attr(file, "href");
    const char *packed = attr(file, "compression");
    const char *size = attr(file, "size");
    guint64 bytes;

    if (href == NULL) {
        return err_setf(err, -EBADMSG, "there is no file '%.60s'", ref);
    }
    if ((packed != NULL && *packed != '\0' && strcmp(packed, "identity") != 0) ||
        attr(file, "chunkSize") != NULL) {
        return err_setf(err, -ENOTSUP,
                        "file '%.100s' is packed or in pieces: make one plain image of it, and "
                        "take the attribute away",
                        href);
    }
    if (size != NULL) {
        if (!g_ascii_string_to_unsigned(size, 10, 0, INT64_MAX, &bytes, NULL)) {
            return err_setf(err, -EINVAL, "file '%.100s': '%.40s' is no size", href, size);
        }
        disk->file_size = (int64_t)bytes;
    }
    disk->href = g_strdup(href);
    return ovf_check_href(href, err);
}

static int fill_disk(Build *b, const Node *item, OvfDisk *disk, Err *err)
{
    const char *host = field(item, "HostResource");
    const char *id = strrchr(host, '/');
    const Node *image = with_attr(b->images, "diskId", id != NULL ? id + 1 : host);
    const char *capacity = attr(image, "capacity");
    const char *unit = attr(image, "capacityAllocationUnits");
    const char *ref = attr(image, "fileRef");
    int r = choose_slot(b, item, &disk->slot, err);

    disk->file_size = -1;
    if (r == 0 && image == NULL) {
        r = err_setf(err, -EBADMSG, "there is no disk '%.60s'", host);
    }
    if (r == 0 && capacity != NULL) {
        r = amount(disk->slot, capacity, unit != NULL ? unit : "byte", &disk->capacity, err);
    }
    if (r == 0 && ref != NULL) {
        r = take_file(b, ref, disk, err);
    } else if (r == 0 && disk->capacity == 0) {
        r = err_setf(err, -EINVAL, "%s has neither file nor size", disk->slot);
    }
    return r;
}

static int take_disk(Build *b, const Node *item, Err *err)
{
    OvfDisk *disk;

    if (b->ovf->disks->len >= OVF_DISKS_MAX) {
        return err_setf(err, -ENOTSUP, "more than %u disks", OVF_DISKS_MAX);
    }
    disk = g_new0(OvfDisk, 1);
    g_ptr_array_add(b->ovf->disks, disk);
    return fill_disk(b, item, disk, err);
}

static int take_item(Build *b, const Node *item, Err *err)
{
    switch (kind_of(item)) {
    case RES_CPU:
        return take_processors(b, item, err);
    case RES_MEMORY:
        return take_memory(b, item, err);
    case RES_DISK:
        return take_disk(b, item, err);
    case RES_CARD:
        b->ovf->cards++;
        return 0;
    default:
        return 0; /* drives without discs, sound, controllers: a guest has its own */
    }
}

static int take_system(Build *b, const Node *root, const Node *system, Err *err)
{
    g_autoptr(GPtrArray) extra = g_ptr_array_new();
    const char *name = field(system, "Name");
    const Node *firmware;
    int r = 0;

    list_items(b, root, system);
    if (b->items->len == 0) {
        return err_setf(err, -EBADMSG, "it describes no hardware");
    }
    for (guint i = 0; r == 0 && i < b->items->len; i++) {
        r = take_item(b, b->items->pdata[i], err);
    }
    find_all(system, "Config", extra);
    firmware = with_attr(extra, "key", "firmware");
    b->ovf->efi = g_strcmp0(attr(firmware, "value"), "efi") == 0;
    b->ovf->ostype = os_type(system);
    if (*name == '\0' && attr(system, "id") != NULL) {
        name = attr(system, "id");
    }
    b->ovf->name = guest_name(name);
    return r;
}

int ovf_parse(const char *text, size_t len, Ovf **ret, Err *err)
{
    g_autoptr(Ovf) ovf = g_new0(Ovf, 1);
    g_autoptr(GPtrArray) systems = g_ptr_array_new();
    g_autoptr(GPtrArray) files = g_ptr_array_new();
    g_autoptr(GPtrArray) images = g_ptr_array_new();
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    g_autoptr(Node) root = NULL;
    Build b = {.ovf = ovf, .files = files, .images = images, .items = items};
    int r;

    ovf->disks = g_ptr_array_new_with_free_func(ovf_disk_free);
    r = len <= OVF_TEXT_MAX ? read_tree(text, len, &root, err)
                            : err_setf(err, -EFBIG, "larger than any real description");
    if (r == 0 && strcmp(root->name, "Envelope") != 0) {
        r = err_setf(err, -EBADMSG, "it is no OVF: its root is '%.40s'", root->name);
    }
    if (r < 0) {
        return r;
    }
    find_all(root, "VirtualSystem", systems);
    if (systems->len != 1) {
        return err_setf(err, systems->len == 0 ? -EBADMSG : -ENOTSUP,
                        "it describes %u machines, not one", systems->len);
    }
    find_all(find(root, "References"), "File", files);
    find_all(find(root, "DiskSection"), "Disk", images);
    r = take_system(&b, root, systems->pdata[0], err);
    if (r == 0) {
        *ret = g_steal_pointer(&ovf);
    }
    return r;
}

int ovf_check_href(const char *href, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(href, "/", -1);

    if (strstr(href, "://") != NULL) {
        return err_setf(err, -EINVAL, "file '%.100s': fetch it, and name it without URL", href);
    }
    if (*href == '\0' || *href == '/' || g_strv_contains((const char *const *)parts, "..")) {
        return err_setf(err, -EINVAL, "file '%.100s' is not in the folder of its description",
                        href);
    }
    return 0;
}

/* ----------------------------------------------------------------- options */

static int
disk_option(const OvfDisk *d, const char *storage, const char *format, char **ret, Err *err)
{
    g_autoptr(GString) out = g_string_new(storage);

    if (d->path != NULL && strchr(d->path, ',') != NULL) {
        return err_setf(err, -EINVAL, "'%s': a comma cannot be in the path of an image", d->path);
    }
    if (d->path != NULL) {
        g_string_append_printf(out, ":0,import-from=%s", d->path);
    } else {
        char gib[64];
        (void)g_ascii_formatd(gib, sizeof gib, "%.9f", (double)d->capacity / GIB);
        g_string_append_printf(out, ":%s", gib);
    }
    if (format != NULL) {
        g_string_append_printf(out, ",format=%s", format);
    }
    *ret = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

static void put(GHashTable *options, const char *key, const char *value)
{
    if (value != NULL) {
        g_hash_table_insert(options, g_strdup(key), g_strdup(value));
    }
}

static void put_number(GHashTable *options, const char *key, int64_t value)
{
    if (value > 0) {
        g_hash_table_insert(options, g_strdup(key), g_strdup_printf("%" G_GINT64_FORMAT, value));
    }
}

int ovf_options(const Ovf *o, const char *storage, const char *format, GHashTable **ret, Err *err)
{
    g_autoptr(GHashTable) options = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    put(options, "name", o->name);
    put(options, "ostype", o->ostype);
    put(options, "scsihw", o->scsihw);
    put_number(options, "cores", o->cores);
    put_number(options, "sockets", o->sockets);
    put_number(options, "memory", o->memory_mib);
    if (o->efi) {
        put(options, "bios", "ovmf");
        g_hash_table_insert(options, g_strdup("efidisk0"),
                            g_strdup_printf("%s:1,efitype=4m", storage));
    }
    for (guint i = 0; i < o->disks->len; i++) {
        const OvfDisk *d = o->disks->pdata[i];
        char *value = NULL;
        int r = disk_option(d, storage, format, &value, err);
        if (r < 0) {
            return r;
        }
        g_hash_table_insert(options, g_strdup(d->slot), value);
        if (i == 0) {
            g_hash_table_insert(options, g_strdup("boot"), g_strdup_printf("order=%s", d->slot));
        }
    }
    *ret = g_steal_pointer(&options);
    return 0;
}
