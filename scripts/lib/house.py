# SPDX-License-Identifier: Apache-2.0
"""What the house checkers share: which files there are, and how problems are reported."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

# Never part of the sources: version control, what autotools write, what distcheck unpacks.
SKIPPED_DIRS = {'.git', 'autom4te.cache', 'build', 'build-aux', 'm4', '_build', '_inst', '.deps',
                '__pycache__', 'test-logs'}


def source_files(root, suffixes=None):
    """Paths relative to `root`, sorted. Build directories inside the tree are left out."""
    found = []
    for directory, dirs, files in os.walk(root):
        if directory != root and ('config.status' in files or 'config.log' in files):
            dirs[:] = []
            continue
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_DIRS)
        for name in files:
            if suffixes is None or name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(directory, name), root))
    return sorted(found)


def read_lines(root, path):
    with open(os.path.join(root, path), encoding='utf-8', errors='replace', newline='') as file:
        return file.read().split('\n')


class Report:
    """Collects problems, prints each as FILE:LINE: TEXT, and gives the exit status."""

    def __init__(self, tool):
        self.tool = tool
        self.count = 0

    def problem(self, path, line, text):
        self.count += 1
        print(f'{path}:{line}: {text}' if line else f'{path}: {text}')

    def end(self, looked_at):
        result = f'{self.count} problems' if self.count else 'no problems'
        print(f'{self.tool}: {looked_at}: {result}')
        return 1 if self.count else 0
